#!/bin/sh
# Whether there is anything to load, as a result: {"new": true} or {"new": false}.
set -eu
mkdir -p scratch
if ls incoming/*.csv > scratch/listed 2> /dev/null; then new=true; else new=false; fi
echo "{\"new\": $new}" > "$JOBLOT_OUTPUT"

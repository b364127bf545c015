from joblot import RunLogger
from joblot.journal.folder import StateFolder

folder = StateFolder()
with RunLogger("logged", journal=folder.journal, name="program") as log:
    log.log_event("rows_loaded", rows=12)
    log.log_warning("no header")
    log.log_error("row 7 is empty", row=7)
folder.close()

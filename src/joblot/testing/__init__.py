"""Worlds to test in: runs without processes, disks or waiting.

`World` is for one test that takes each step of a run itself. `simulate` takes a run from one seed through everything that can go wrong.
`audit` computes a run's indexes anew. `ScriptedExecutor` stands in for processes under a real engine and a real journal. `Referee` reads
events as they are recorded and objects to what must never happen.
"""

from __future__ import annotations

from joblot.testing.audit import audit
from joblot.testing.declare import declare, story
from joblot.testing.executor import ScriptedExecutor
from joblot.testing.referee import Referee
from joblot.testing.simulation import CALM, ROUGH, Faults, Simulation, SimulationError, simulate
from joblot.testing.world import World

__all__ = [
    "CALM",
    "ROUGH",
    "Faults",
    "Referee",
    "ScriptedExecutor",
    "Simulation",
    "SimulationError",
    "World",
    "audit",
    "declare",
    "simulate",
    "story",
]

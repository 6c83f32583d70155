"""One patient through time: start, update, numerical check, and the from-scratch oracle."""

from bayestwin.twin.newer import predict_labs
from bayestwin.twin.oracle import rebuild_twin
from bayestwin.twin.save import load_twin, save_twin
from bayestwin.twin.start import start_twin
from bayestwin.twin.state import Twin, UpdateInfo
from bayestwin.twin.surprise import Surprise
from bayestwin.twin.update import update_twin

__all__ = [
    "Surprise",
    "Twin",
    "UpdateInfo",
    "load_twin",
    "predict_labs",
    "rebuild_twin",
    "save_twin",
    "start_twin",
    "update_twin",
]

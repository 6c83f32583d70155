"""One patient through time: start, update, numerical check, and the from-scratch oracle."""

from bayestwin.twin.save import load_twin, save_twin
from bayestwin.twin.state import Twin, UpdateInfo
from bayestwin.twin.surprise import Surprise
from bayestwin.twin.update import rebuild_twin, start_twin, update_twin

__all__ = ["Surprise", "Twin", "UpdateInfo", "load_twin", "rebuild_twin", "save_twin", "start_twin", "update_twin"]

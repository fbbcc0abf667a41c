"""Where results are, under the name that this package knew them by."""

from agent_core.evaluation.results_file import CHUNK, RECORD_NAME, RESULTS_NAME, Mode, Places, ResultsFile

__all__ = ["CHUNK", "RECORD_NAME", "RESULTS_NAME", "Mode", "Places", "ResultsFile"]

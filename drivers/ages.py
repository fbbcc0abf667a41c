"""Ages as people write them: `90s`, `30m`, `12h`, `30d`, `8w`."""

import re

from agent_core.errors import ConfigError

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def seconds_of(age: str, option: str) -> float:
    """An age in seconds, as `option` gave it. Raises ConfigError for what is none."""
    found = _AGE.fullmatch(age.strip())
    if found is None or not float(found[1]):
        said = age or "(nothing)"
        raise ConfigError(f"{option} {said}: give a number and a unit, one of s, m, h, d and w, as in 30d.")
    return float(found[1]) * _UNITS[found[2]]

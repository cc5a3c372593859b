"""Read YAML and JSON that people write: whatever is wrong with the text ends in one sentence that names the file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def read_yaml(path: Path) -> Any:
    """Return what a YAML file says; raises OSError, or ValueError if it is none."""
    import yaml

    return _parsed(path, 'YAML', yaml.safe_load, yaml.YAMLError)


def read_json(path: Path) -> Any:
    """Return what a JSON file says; raises OSError, or ValueError if it is none."""
    return _parsed(path, 'JSON', json.loads, json.JSONDecodeError)


def _parsed(path: Path, kind: str, parse: Callable[[str], Any], malformed: type[Exception]) -> Any:
    try:
        return parse(path.read_text(encoding='utf-8'))
    except RecursionError as error:
        raise ValueError(f'{path} is not valid {kind}: it is nested too deeply.') from error
    except (malformed, ValueError) as error:  # the latter of UTF-8, of dates, of numbers
        raise ValueError(f'{path} is not valid {kind}: {" ".join(str(error).split())}.') from error

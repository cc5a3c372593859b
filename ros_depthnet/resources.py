"""Find the files shipped beside the code: models, configuration, launch files, the sample flight."""

import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parent.parent


def share_path(*parts: str) -> Path:
    """
    Return the path of a shipped file or folder, such as `share_path('models', 'parallaxnet.yaml')`.

    Looked for in a source checkout (editable installs), then in every install prefix that holds this
    package: colcon's (`<prefix>/lib/python3.x/site-packages`) and pip's (`sys.prefix`).
    """
    prefixes = [*Path(__file__).resolve().parents, Path(sys.prefix)]
    candidates = [_CHECKOUT, *(prefix / 'share' / 'ros_depthnet' for prefix in prefixes)]
    for candidate in candidates:
        if (candidate / 'package.xml').is_file():
            return candidate.joinpath(*parts)
    raise FileNotFoundError(f'{sys.prefix}/share has no files of ros_depthnet: install the package with pip or colcon.')

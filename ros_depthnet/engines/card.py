"""A model's card, `models/NAME.yaml`: what the model is, what it wants and how far it may be trusted."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ros_depthnet.text_files import read_yaml

DEPTH_KINDS = ('parallaxnet', 'depthnet')
KINDS = (*DEPTH_KINDS, 'contournet', 'movingnet', 'singleview')
PRECISIONS = ('auto', 'float32', 'float16', 'int8')


class ModelError(ValueError):
    """A model that cannot be used, in one sentence that says what to do."""


@dataclass(frozen=True)
class ModelCard:
    """
    What code may ask of a model. Raises ModelError for values that make no sense.

    name: as users write it. kind: one of KINDS, the meaning of inputs and outputs. file: path
    of the ONNX file. input_width, input_height: size the model is used at on a CPU, pixels. gpu_width: the
    same on a GPU, where a larger size is affordable; None: no other. input_multiple: width and height must be
    multiples of it. parallax_range: (least, most) lateral parallax it was trained for, pixels.
    nominal_displacement: metres, depthnet only: the displacement its output is the depth for.
    relative_deviation: standard deviation of ln(depth) of a model that predicts none. deviation_scale: the
    model's own deviations times this are what was found on flights it was not trained on.
    sha256: of the file; '' is not checked. int8_file, int8_sha256: the same network with convolutions in 8
    bits, for CPUs; None: there is none. The rest is for people.
    """

    name: str
    kind: str
    file: Path
    input_width: int
    input_height: int
    input_multiple: int = 16
    gpu_width: int | None = None
    parallax_range: tuple[float, float] = (1.0, 60.0)
    nominal_displacement: float | None = None
    relative_deviation: float = 0.25
    deviation_scale: float = 1.0
    sha256: str = ''
    int8_file: Path | None = None
    int8_sha256: str = ''
    normalisation: str = ''
    licence: str = ''
    version: str = ''
    training: Any = field(default_factory=dict)
    data: Any = ''
    scores: Any = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ModelError(f'The card of {self.name} has kind {self.kind!r}, none of {", ".join(KINDS)}.')
        sizes = (self.input_width, self.input_height, self.input_multiple, self.gpu_width or 1)
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ModelError(f'The card of {self.name} needs whole positive input sizes and multiple.')
        low, high = self.parallax_range
        if not 0 < low < high:
            raise ModelError(f'The card of {self.name} has an impossible parallax range, [{low}, {high}].')
        if not self.deviation_scale > 0:
            raise ModelError(f'The card of {self.name} has an impossible deviation_scale, {self.deviation_scale}.')
        if self.kind == 'depthnet' and not (self.nominal_displacement or 0) > 0:
            raise ModelError(f'The card of {self.name} lacks the nominal_displacement of a depthnet.')

    @classmethod
    def read(cls, path: Path) -> 'ModelCard':
        """Read a card; `file` is looked for beside it. Raises ModelError."""
        try:
            content = read_yaml(path)
        except OSError as error:
            raise ModelError(f'The model card {path} cannot be read: {error.strerror}.') from error
        except ValueError as error:
            raise ModelError(f'The model card {error}') from error
        try:
            known = {key: content[key] for key in cls.__dataclass_fields__ if key in content}
            size = content['input']
            low, high = map(float, known.pop('parallax_range', (1, 60)))
            if 'int8' in content:
                known |= {
                    'int8_file': path.parent / content['int8']['file'],
                    'int8_sha256': content['int8'].get('sha256', ''),
                }
            return cls(
                **{
                    **known,
                    'name': content['name'],
                    'kind': content['kind'],
                    'file': path.parent / content['file'],
                    'input_width': size['width'],
                    'input_height': size['height'],
                    'input_multiple': size.get('multiple', 16),
                    'gpu_width': size.get('gpu_width'),
                    'parallax_range': (low, high),
                }
            )
        except KeyError as error:
            raise ModelError(f'The model card {path} lacks {error.args[0]!r}.') from error
        except ModelError:
            raise
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelError(f'The model card {path} is malformed: {error}.') from error

    def check_file(self) -> None:
        """Raise ModelError when an ONNX file is missing or not the one this card describes."""
        for file, sha256 in ((self.file, self.sha256), (self.int8_file, self.int8_sha256)):
            if file is None:
                continue
            try:
                content = file.read_bytes()
            except FileNotFoundError as error:
                raise ModelError(f'The model file {file} is missing.') from error
            except (OSError, ValueError) as error:
                raise ModelError(f'The model file {file} cannot be read: {error}.') from error
            if sha256 and hashlib.sha256(content).hexdigest() != sha256:
                raise ModelError(f'The model file {file} is damaged or not that of its card (SHA-256).')

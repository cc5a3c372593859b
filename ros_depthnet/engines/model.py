"""Load a model: its card, the engine for it, and what of the way to depth a GPU does at once."""

from pathlib import Path

from ros_depthnet.engines.card import DEPTH_KINDS, PRECISIONS, ModelCard, ModelError
from ros_depthnet.engines.metric_model import Engine, Model
from ros_depthnet.engines.onnx_engine import OnnxEngine
from ros_depthnet.engines.openvino_engine import OPENVINO, OpenVinoEngine
from ros_depthnet.engines.providers import GPUS
from ros_depthnet.engines.whole_model import WholeModel
from ros_depthnet.resources import share_path

DEFAULT = 'parallaxnet'
_WHOLE = 'parallaxnet'
_INTERFACE = {
    'parallaxnet': (
        {'reference', 'sources', 'valid', 'displacements', 'intrinsics'},
        {'log_parallax', 'log_deviation'},
    ),
    'depthnet': ({'pair'}, {'depth'}),
    'singleview': ({'image'}, {'log_depth', 'log_deviation'}),
    'contournet': ({'image'}, {'contours'}),
    'movingnet': ({'clues'}, {'log_odds'}),
}
_PROVIDERS_OF = {'int8': ('cpu',), 'float16': GPUS}


def model_card(name_or_path: str | Path = 'default') -> ModelCard:
    """Return the card of a model, named as for `load_model`; raises ModelError."""
    return ModelCard.read(_card_path(str(name_or_path)))


def load_model(
    name_or_path: str | Path = 'default',
    provider: str = 'auto',
    threads: int = 0,
    input_width: int | None = None,
    cache_dir: Path | None = None,
    precision: str = 'auto',
) -> Model:
    """
    Return a shipped model by name ('default', 'parallaxnet', ...) or one by the path of its .onnx or .yaml.

    provider: 'openvino', or see OnnxEngine, as for threads and cache_dir. input_width: pixels, a multiple of the
    card's; None: the card's for the provider. precision of convolutions: 'float32'; 'float16', which only GPUs gain
    from; 'int8', which only CPUs do; 'auto', int8 on CPUs if the card has it, otherwise float32. On a GPU a parallaxnet
    is a WholeModel. Raises ModelError.
    """
    card = model_card(name_or_path)
    if card.kind not in DEPTH_KINDS:
        raise ModelError(f'{card.name} is a {card.kind}, which gives no depth: choose another model.')
    card.check_file()
    _check_precision(card, precision, provider)
    if provider == OPENVINO:
        engine: Engine = OpenVinoEngine(card.file, threads)
        _check_interface(card, engine)
        return Model(card, engine, input_width)
    on_gpu = 'float16' if precision == 'float16' else 'float32'
    engine = OnnxEngine(
        card.file,
        'cpu' if precision == 'int8' and provider == 'auto' else provider,
        threads,
        cache_dir,
        None if precision == 'float32' else card.int8_file,
        on_gpu,
    )
    _check_interface(card, engine)
    if engine.provider not in _PROVIDERS_OF.get(precision, (engine.provider,)):
        raise ModelError(f'No GPU starts, and {precision} is for GPUs: choose precision auto or float32.')
    if engine.provider not in GPUS or card.kind != _WHOLE:
        return Model(card, engine, input_width)
    from ros_depthnet.engines.whole_graph import whole_graph  # needs onnx, which a CPU can do without

    whole = OnnxEngine(card.file, engine.provider, threads, cache_dir, None, on_gpu, whole_graph)
    return WholeModel(card, engine, whole, input_width)


def open_model(kind: str, name_or_path: str | Path, provider: str, threads: int) -> tuple[ModelCard, OnnxEngine]:
    """Return card and engine of a model that has to be of a kind, named and run as `load_model` has it."""
    card = model_card(name_or_path)
    if card.kind != kind:
        raise ModelError(f'{card.name} is a {card.kind}, and a {kind} is wanted.')
    card.check_file()
    engine = OnnxEngine(card.file, provider, threads, int8_path=card.int8_file)
    _check_interface(card, engine)
    return card, engine


def _check_interface(card: ModelCard, engine: Engine) -> None:
    inputs, outputs = _INTERFACE[card.kind]
    if set(engine.inputs) != inputs or not outputs <= set(engine.outputs):
        raise ModelError(
            f'{card.file} is no {card.kind}: it takes {", ".join(engine.inputs)} and gives {", ".join(engine.outputs)}.'
        )


def _check_precision(card: ModelCard, precision: str, provider: str) -> None:
    if precision not in PRECISIONS:
        raise ModelError(f'The precision {precision!r} is none of {", ".join(PRECISIONS)}.')
    fitting = _PROVIDERS_OF.get(precision, (provider,))
    if provider not in ('auto', *fitting):
        raise ModelError(
            f'{precision} is for the provider {" or ".join(fitting)}, not {provider}: choose precision auto or float32.'
        )
    if precision == 'int8' and card.int8_file is None:
        raise ModelError(f'{card.name} has no int8 file: make it with `depthnet quantise`, or choose auto.')


def shipped_models() -> tuple[str, ...]:
    """Return the names on the cards of the shipped models of depth."""
    cards = [ModelCard.read(path) for path in sorted(share_path('models').glob('*.yaml'))]
    return tuple(card.name for card in cards if card.kind in DEPTH_KINDS)


def _card_path(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.suffix in ('.onnx', '.yaml'):
        card = path.with_suffix('.yaml')
        if not card.is_file():
            raise ModelError(f'The model {path} has no card {card}.')
        return card
    name = DEFAULT if name_or_path == 'default' else name_or_path
    card = share_path('models', f'{name}.yaml')
    if not card.is_file():
        shipped = ', '.join(shipped_models()) or 'none'
        raise ModelError(f'There is no model {name!r} (shipped: {shipped}); a path ends in .onnx or .yaml.')
    return card

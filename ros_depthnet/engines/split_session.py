"""parallaxnet's graph on a CPU, cut where matching costs are computed, which `engines.matching` does faster."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime

from ros_depthnet.engines.matching import Matching

Tensors = dict[str, np.ndarray]
Opener = Callable[[bytes], onnxruntime.InferenceSession]


@dataclass(frozen=True)
class Stage:
    """A comparison: stride of its descriptors, sizes of their groups, tensors that the part after it needs."""

    stride: int
    groups: tuple[int, ...]
    state: tuple[str, ...]


def stages_of(model: onnx.ModelProto) -> tuple[Stage, ...]:
    """Return where a model says that it may be cut, in its property `matching`; () if nowhere."""
    properties = {entry.key: entry.value for entry in model.metadata_props}
    stages = json.loads(properties.get('matching', '{"stages": []}'))['stages']
    return tuple(Stage(stage['stride'], tuple(stage['groups']), tuple(stage['state'])) for stage in stages)


def open_in_parts(path: Path, open_session: Opener, threads: int) -> SplitSession | None:
    """Return a session of a file that says where it may be cut; None of one that does not. See SplitSession."""
    model = onnx.load(path)
    return SplitSession(model, open_session, threads) if stages_of(model) else None


class SplitSession:
    """
    An onnxruntime.InferenceSession of a model that says where it may be cut: the same answers in less time.

    Stage I compares at the hypotheses `rho_I`, and the graph goes on with `cost_I` and `seen_I`; `described_S`
    are the descriptors of `reference` at stride S.
    """

    def __init__(self, model: onnx.ModelProto, open_session: Opener, threads: int):
        """Cut a model. open_session: makes a session of a part. threads: 0 for one per core."""
        self._inputs, self._outputs = tuple(model.graph.input), tuple(model.graph.output)
        self._stages, cut = stages_of(model), onnx.utils.Extractor(model)
        known = [tensor.name for tensor in self._inputs]

        def part(outputs: Iterable[str]) -> _Part:
            outputs = [name for name in outputs if name not in known]
            found = _Part(cut.extract_model(known, outputs), open_session)
            known.extend(outputs)
            return found

        self._describe = part({f'described_{stage.stride}' for stage in self._stages})
        self._begin = part(['rho_0'])
        self._parts = []
        for number, following in enumerate((*self._stages[1:], None), 1):
            known += [f'cost_{number - 1}', f'seen_{number - 1}']
            self._parts.append(
                part([f'rho_{number}', *following.state] if following else [tensor.name for tensor in self._outputs])
            )
        self._matching = Matching(threads or os.cpu_count() or 1)

    def get_providers(self) -> list[str]:
        """Return what runs the parts."""
        return self._begin.session.get_providers()

    def get_inputs(self) -> tuple:
        """Return the model's inputs, each with a name."""
        return self._inputs

    def get_outputs(self) -> tuple:
        """Return the model's outputs, each with a name."""
        return self._outputs

    def run(self, output_names: None, inputs: Tensors) -> list[np.ndarray]:
        """Run on named arrays; returns all outputs, in their order."""
        views = self._described(inputs['reference'][:, None], np.ones_like(inputs['valid'][:, :1]))
        views_of_sources = self._described(inputs['sources'], inputs['valid'])
        tensors = {**inputs, **self._begin(inputs)}
        for number, (stage, part) in enumerate(zip(self._stages, self._parts, strict=True)):
            references, sources = views[stage.stride][:, 0], views_of_sources[stage.stride]
            rho = tensors[f'rho_{number}']
            rho = np.broadcast_to(rho, (len(references), rho.shape[1], *references.shape[1:3]))
            cost, seen = self._matching.costs(
                references, sources, inputs['displacements'], inputs['intrinsics'], stage.stride, stage.groups, rho
            )
            tensors |= {f'cost_{number}': cost, f'seen_{number}': seen}
            tensors |= part(tensors)
        return [tensors[output.name] for output in self._outputs]

    def _described(self, images: np.ndarray, valid: np.ndarray) -> dict[int, np.ndarray]:
        """Return by stride the packed descriptors (B, S, h, w, P) of images (B, S, 3, H, W), valid (B, S, 1, H, W)."""
        described = self._describe({'reference': images.reshape(-1, *images.shape[2:])})
        found = {}
        for stride in {stage.stride for stage in self._stages}:
            descriptors = described[f'described_{stride}']
            size = descriptors.shape[:1:-1]
            seen = [
                cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in valid.reshape(-1, *valid.shape[3:])
            ]
            found[stride] = self._matching.packed(descriptors, np.stack(seen))
            found[stride] = found[stride].reshape(*images.shape[:2], *found[stride].shape[1:])
        return found


class _Part:
    """A part of a graph, which takes what it needs out of all tensors known so far."""

    def __init__(self, model: onnx.ModelProto, open_session: Opener):
        graph = model.graph
        used = {name for node in graph.node for name in node.input}
        inputs = [tensor for tensor in graph.input if tensor.name in used]
        del graph.input[:]
        graph.input.extend(inputs)
        self._inputs = [tensor.name for tensor in inputs]
        self._outputs = [tensor.name for tensor in graph.output]
        self.session = open_session(model.SerializeToString())

    def __call__(self, tensors: Tensors) -> Tensors:
        results = self.session.run(None, {name: tensors[name] for name in self._inputs})
        return dict(zip(self._outputs, results, strict=True))

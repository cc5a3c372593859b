"""Run a torch module as an engine: for models in training and for comparing with their export."""

from collections.abc import Sequence

import numpy as np
import torch


class TorchEngine:
    """A module called with named tensors; it returns one tensor per name in `outputs`, in that order."""

    precision = 'float32'

    def __init__(self, module: torch.nn.Module, outputs: Sequence[str], device: str = 'cpu'):
        """Move the module to a device and to evaluation mode."""
        self._module = module.to(device).eval()
        self._device = device
        self.provider = f'torch {device}'
        self.outputs = tuple(outputs)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the module on named arrays and return its named outputs."""
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()}
            results = self._module(**tensors)
        return {
            name: result.float().cpu().numpy()
            for name, result in zip(
                self.outputs, results if isinstance(results, (tuple, list)) else [results], strict=True
            )
        }

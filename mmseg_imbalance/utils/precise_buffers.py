"""Buffers that stay precise in a model of half precision."""

import torch


class PreciseBuffers:
    """Moves a module's own buffers to the model's device, and to its dtype if that is more precise.

    ``model.half()`` would round class weights and offsets, and make counts overflow. It goes before
    ``nn.Module`` or a class derived from it.
    """

    _in_float64: tuple[str, ...] = ()  # buffers; others are float32

    def _apply(self, fn, *args, **kwargs) -> 'PreciseBuffers':
        before = dict(self._buffers)
        super()._apply(fn, *args, **kwargs)
        for name, buffer in before.items():
            moved = self._buffers[name]
            dtype = torch.float64 if name in self._in_float64 else torch.float32
            if buffer is not None and moved.element_size() < dtype.itemsize:
                self._buffers[name] = buffer.to(moved.device, dtype)
        return self

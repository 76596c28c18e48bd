"""A transformer that OpenVINO runs in place of the torch module that it was converted from."""

import contextlib
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    class Module:
        """Replaces torch.nn.Module for mypy, which does not read torch's types."""
else:
    from torch.nn import Module

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
CALIBRATION = Path(__file__).with_name("calibration.txt")
CONVERTED_NAME = "model.xml"
MAX_CALLING_THREADS = 4  # with more, a long text would wait too long for one thread
CONVERSION_LOCK = threading.Lock()  # torch's tracing and the warning filters are global to the process
EXAMPLE = {"input_ids": [[1, 2, 3, 4], [1, 2, 0, 0]], "attention_mask": [[1, 1, 1, 1], [1, 1, 0, 0]]}


class OpenVinoModule(Module):
    """Takes the transformer's inputs and gives its one output, under the same name. Any thread may call it."""

    def __init__(
        self,
        model: "PreTrainedModel",
        output: str,
        with_types: bool,
        in_bfloat16: bool,
        calibration: Sequence[Mapping[str, torch.Tensor]] = (),
        folder: Path | None = None,
    ) -> None:
        """Converts `model`, whose weights are float32, and compiles it for this CPU.

        With `calibration`, which holds sample inputs, matrices are multiplied in int8. The converted model is saved to
        `folder`, and read from there if the folder exists.
        """
        super().__init__()
        self.config = model.config
        self._output = output
        self._inputs = INPUTS if with_types else INPUTS[:2]
        is_saved = folder is not None and folder.is_dir()
        converted = _read(folder) if folder is not None and is_saved else self._convert(model, calibration)
        if folder is not None and not is_saved:
            _save(converted, folder)
        # A model that computes in the calling thread computes one pass at a time, whatever the number of its requests.
        # So each thread gets a compiled model of its own: MiniLM's takes 0.3 to 0.5 s and 40 MB.
        self._compile = partial(_compile, converted, in_bfloat16)
        self._compiled = [self._compile()]
        self._requests = threading.local()  # an infer request belongs to one thread

    def forward(self, **features: Any) -> Mapping[str, torch.Tensor]:
        if not hasattr(self._requests, "own"):
            self._requests.own = self._next_compiled().create_infer_request()
        arrays = {name: features[name].numpy() for name in self._inputs}
        # The outputs share the request's memory. Its next run overwrites them, but by then they are pooled and copied.
        outputs = self._requests.own.infer(arrays, share_inputs=True, share_outputs=True)
        return {self._output: torch.from_numpy(outputs[0])}

    def _next_compiled(self) -> Any:
        """For a thread that has none yet."""
        if calling_threads() is None:
            return self._compiled[0]
        try:
            return self._compiled.pop()
        except IndexError:
            return self._compile()

    def _convert(self, model: "PreTrainedModel", calibration: Sequence[Mapping[str, torch.Tensor]]) -> Any:
        with CONVERSION_LOCK:
            converted = _convert(model, self._output, self._inputs)
            return _quantize(converted, calibration) if calibration else converted


class _OneOutput(Module):
    """The module that is traced: positional inputs, one tensor as output."""

    def __init__(self, model: "PreTrainedModel", output: str) -> None:
        super().__init__()
        self._model, self._output = model, output

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> torch.Tensor:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        return self._model(input_ids=input_ids, attention_mask=attention_mask, **types)[self._output]


def _convert(model: "PreTrainedModel", output: str, inputs: tuple[str, ...]) -> Any:
    import openvino

    example = {name: torch.tensor(EXAMPLE.get(name, EXAMPLE["attention_mask"])) for name in inputs}
    shapes = [(name, openvino.PartialShape([-1, -1]), openvino.Type.i64) for name in inputs]
    with torch.inference_mode(), warnings.catch_warnings():
        # The warnings are harmless. Tracing makes two conditions constant: a mask exists and is as long as the input.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)  # how OpenVINO itself calls torch
        return openvino.convert_model(_OneOutput(model.eval(), output), example_input=example, input=shapes)


def _quantize(model: Any, calibration: Sequence[Mapping[str, torch.Tensor]]) -> Any:
    """The model with weights and activations in int8; the ranges of activations come from the calibration's inputs.

    Source: Xiao et al., SmoothQuant, ICML 2023, as in NNCF.
    """
    import nncf

    samples = [{name: tensor.numpy() for name, tensor in features.items()} for features in calibration]
    return nncf.quantize(model, nncf.Dataset(samples), subset_size=len(samples), model_type=nncf.ModelType.TRANSFORMER)


def _read(folder: Path) -> Any:
    import openvino

    return openvino.Core().read_model(folder / CONVERTED_NAME)


def _save(model: Any, folder: Path) -> None:
    import openvino

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        written = Path(scratch) / folder.name
        openvino.save_model(model, written / CONVERTED_NAME, compress_to_fp16=False)
        # A rename is atomic. It fails if another replica was faster, which wrote the same model.
        with contextlib.suppress(OSError):
            written.rename(folder)


def calling_threads() -> int | None:
    """How many passes share this process' threads, each computed by the thread that calls it.

    None if there are many threads: OpenVINO's own then compute one pass together.
    """
    # Torch respects OMP_NUM_THREADS, which Ray sets to a replica's CPUs. OpenVINO would use every core.
    num_threads = torch.get_num_threads()
    return num_threads if num_threads <= MAX_CALLING_THREADS else None


def _compile(model: Any, in_bfloat16: bool) -> Any:
    import openvino
    from openvino.properties import hint, inference_num_threads, num_streams

    in_calling_thread = calling_threads() is not None
    properties = {
        inference_num_threads: 1 if in_calling_thread else torch.get_num_threads(),
        num_streams: 0 if in_calling_thread else 1,
        hint.inference_precision: openvino.Type.bf16 if in_bfloat16 else openvino.Type.f32,
        hint.performance_mode: hint.PerformanceMode.LATENCY,
    }
    return openvino.Core().compile_model(model, "CPU", properties)

"""A transformer that OpenVINO runs, in the place of the torch module that it was made from."""

import contextlib
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
CALIBRATION = Path(__file__).with_name("calibration.txt")
KEPT_NAME = "model.xml"
ONE_AT_A_TIME = threading.Lock()  # torch's tracing, and the filters of warnings, belong to the process
EXAMPLE = {"input_ids": [[1, 2, 3, 4], [1, 2, 0, 0]], "attention_mask": [[1, 1, 1, 1], [1, 1, 0, 0]]}


class OpenVinoModule(torch.nn.Module):
    """Takes what the transformer took and gives its one output, under the same name. Any thread may call it."""

    def __init__(
        self,
        model: "PreTrainedModel",
        output: str,
        with_types: bool,
        in_bfloat16: bool,
        calibration: Sequence[Mapping[str, torch.Tensor]] = (),
        kept: Path | None = None,
    ) -> None:
        """Converts `model`, whose weights are float32, and compiles it for this CPU.

        `calibration` is what it may be given to read, one input each: with it, matrices are multiplied in int8. The
        converted model is kept in the folder `kept`, and read from there if it is there already.
        """
        super().__init__()
        self.config = model.config
        self._output = output
        self._inputs = INPUTS if with_types else INPUTS[:2]
        converted = _read(kept) if kept is not None and kept.is_dir() else self._convert(model, calibration)
        if kept is not None and not kept.is_dir():
            _keep(converted, kept)
        self._compiled = _compile(converted, in_bfloat16)
        self._requests = threading.local()  # an infer request is one thread's

    def forward(self, **features: Any) -> Mapping[str, torch.Tensor]:
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        arrays = {name: features[name].numpy() for name in self._inputs}
        # Shared outputs are the request's memory, which its next run overwrites: by then they are pooled and copied.
        outputs = self._requests.own.infer(arrays, share_inputs=True, share_outputs=True)
        return {self._output: torch.from_numpy(outputs[0])}

    def _convert(self, model: "PreTrainedModel", calibration: Sequence[Mapping[str, torch.Tensor]]) -> Any:
        with ONE_AT_A_TIME:
            converted = _convert(model, self._output, self._inputs)
            return _quantize(converted, calibration) if calibration else converted


class _OneOutput(torch.nn.Module):
    """What is traced: one tensor out, by position in."""

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
        # Tracing fixes what depends on a size alone: whether there is a mask, and that it is as long as the input.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)  # how OpenVINO itself calls torch
        return openvino.convert_model(_OneOutput(model.eval(), output), example_input=example, input=shapes)


def _quantize(model: Any, calibration: Sequence[Mapping[str, torch.Tensor]]) -> Any:
    """Weights and activations in int8, with the ranges that the activations have on the calibration's inputs.

    Source: Xiao et al., SmoothQuant, ICML 2023, as in NNCF.
    """
    import nncf

    samples = [{name: tensor.numpy() for name, tensor in features.items()} for features in calibration]
    return nncf.quantize(model, nncf.Dataset(samples), subset_size=len(samples), model_type=nncf.ModelType.TRANSFORMER)


def _read(folder: Path) -> Any:
    import openvino

    return openvino.Core().read_model(folder / KEPT_NAME)


def _keep(model: Any, folder: Path) -> None:
    import openvino

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        written = Path(scratch) / folder.name
        openvino.save_model(model, written / KEPT_NAME, compress_to_fp16=False)
        # Whole or not at all; another replica may have been faster, and has the same.
        with contextlib.suppress(OSError):
            written.rename(folder)


def _compile(model: Any, in_bfloat16: bool) -> Any:
    import openvino
    from openvino.properties import hint, inference_num_threads

    properties = {
        # Torch keeps to OMP_NUM_THREADS, which Ray sets to a replica's share; OpenVINO would take every core.
        inference_num_threads: torch.get_num_threads(),
        hint.inference_precision: openvino.Type.bf16 if in_bfloat16 else openvino.Type.f32,
        hint.performance_mode: hint.PerformanceMode.LATENCY,
    }
    return openvino.Core().compile_model(model, "CPU", properties)

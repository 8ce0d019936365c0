"""Lets torchvision be imported beside a CPU-only torch.

The torchvision wheel of the package index is built for CUDA. Next to a CPU build of torch its compiled extension does
not load, and `import torchvision` then fails while it describes two detection operators that were never declared.
Nothing here uses them, so declaring their signatures is enough. Import this module before timm, open_clip, torchmetrics
or torchvision; the packages of phis_lab that use them do so in their `__init__`.
"""

import importlib.util
from pathlib import Path

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _extension_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    try:
        for library in Path(spec.origin).parent.glob("_C*.so"):
            torch.ops.load_library(str(library))
    except OSError:
        return False
    return True


if torch.version.cuda is None and not _extension_loads():
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, _name):
            _library.define(_name + _SIGNATURE)

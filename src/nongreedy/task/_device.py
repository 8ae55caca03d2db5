"""Devices that exist here."""

import torch

from ..errors import nearest_name


def checked_device(device: str | torch.device) -> torch.device:
    """A device that exists here, or an error that names those that do."""
    found = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    found += ["mps"] if torch.backends.mps.is_available() else []
    kind = str(device).split(":")[0]
    if kind not in found:
        raise ValueError(f"Device {str(device)!r} is not available." + nearest_name(kind, found))
    chosen = torch.device(device)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"Device {str(device)!r} is not available: there are {torch.cuda.device_count()}, from "
            "'cuda:0' on."
        )
    if chosen.type == "cuda" and chosen.index is None:
        # Another one would be current after torch.cuda.set_device.
        return torch.device("cuda", torch.cuda.current_device())
    return chosen

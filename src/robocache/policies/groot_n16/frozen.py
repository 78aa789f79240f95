"""Features of a backbone of which nothing trains: of each sample by itself, so they can be kept.

Letters: B samples, S tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robocache.policies.groot_n16.backbone import BackboneFeatures
from robocache.policies.groot_n16.feature_store import FeatureStore
from robocache.policies.groot_n16.inputs import GrootInputs
from robocache.policies.groot_n16.model import GrootN16

Row = tuple[Tensor, Tensor]
"""Features (S, D) and image mask (S,) bool of one sample, without padding."""


@torch.no_grad()
def features_alone(model: GrootN16, inputs: GrootInputs) -> Row:
    """Features of one sample, computed in the dtype of the weights whatever autocast says."""
    with torch.autocast(inputs.input_ids.device.type, enabled=False):
        found = model.backbone(inputs.input_ids, inputs.attention_mask, inputs.pixel_values)
    return found.features[0], found.image_mask[0]


def kept_or_made(
    store: FeatureStore | None, rows: Sequence[int], make: Callable[[int], Row]
) -> list[Row]:
    """The features of rows: those that are in the store, and those that `make` makes, kept there.

    Args:
        store: None: all are made.
        rows: numbers of the training windows.
        make: called with the place of a row among these.
    """
    found = []
    for place, row in enumerate(rows):
        known = None if store is None else store.get(row)
        if known is None:
            known = make(place)
            if store is not None:
                store.put(row, *known)
        found.append(known)
    return found


def side_by_side(rows: Sequence[Row], device: torch.device) -> BackboneFeatures:
    """Features of a batch, padded on the left with zeros."""
    longest = max(len(mask) for _, mask in rows)
    first, _ = rows[0]
    features = torch.zeros(len(rows), longest, first.shape[1], dtype=first.dtype, device=device)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool, device=device)
    image_mask = torch.zeros_like(mask)
    for row, (features_SD, image_mask_S) in enumerate(rows):
        start = longest - len(image_mask_S)
        features[row, start:] = features_SD
        image_mask[row, start:] = image_mask_S
        mask[row, start:] = True
    return BackboneFeatures(features, mask, image_mask)

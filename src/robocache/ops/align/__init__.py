"""Bringing several streams to one clock."""

from robocache.ops.align.op import align, fused_multimodal_alignment

__all__ = ["align", "fused_multimodal_alignment"]

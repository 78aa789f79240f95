"""Settings of the processor: `processor_kwargs` of processor_config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from robocache.core.errors import ConfigError, unknown_name
from robocache.policies.groot_n16.processing.compat import Compat
from robocache.policies.groot_n16.processing.images import ImageOptions
from robocache.policies.groot_n16.processing.state_action import ScalingOptions

PROCESSOR_CLASS = "Gr00tN1d6Processor"


@dataclass(frozen=True)
class ProcessorSettings:
    """`processor_kwargs` without the modalities; names and order are the public ones.

    Attributes:
        image_crop_size, image_target_size: kept; must be None, `shortest_image_edge` and
            `crop_fraction` say it.
        use_albumentations: kept; must be true.
        random_rotation_angle, color_jitter_params, shortest_image_edge, crop_fraction: see
            `ImageOptions`.
        model_name, model_type: of the backbone; kept.
        formalize_language: instructions are put in lower case, without punctuation.
        max_state_dim, max_action_dim, max_action_horizon: what states and actions are padded to.
        use_percentiles, clip_outliers, apply_sincos_state_encoding, use_relative_action: see
            `ScalingOptions`.
        extra: fields that are not known here, kept as they are.
        absent: known fields that the file did not have; they are not written either.
    """

    image_crop_size: Any = None
    image_target_size: Any = None
    use_albumentations: bool = True
    random_rotation_angle: float | None = None
    color_jitter_params: Mapping[str, float] | None = None
    shortest_image_edge: int = 256
    crop_fraction: float = 0.95
    model_name: str = "nvidia/Eagle-Block2A-2B-v2"
    model_type: str = "eagle"
    formalize_language: bool = True
    max_state_dim: int = 128
    max_action_dim: int = 128
    max_action_horizon: int = 50
    use_percentiles: bool = False
    clip_outliers: bool = True
    apply_sincos_state_encoding: bool = False
    use_relative_action: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.image_crop_size is not None or self.image_target_size is not None:
            raise ConfigError(
                "image_crop_size and image_target_size are not supported; set both to None, then "
                "shortest_image_edge and crop_fraction hold"
            )
        if not self.use_albumentations:
            raise ConfigError("use_albumentations=false is not supported; set it to true")
        for name in (
            "shortest_image_edge",
            "max_state_dim",
            "max_action_dim",
            "max_action_horizon",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} is a positive whole number, got {value!r}")
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type == "bool" and not isinstance(value, bool):
                raise ConfigError(f"{item.name} is true or false, got {value!r}")
        if not isinstance(self.crop_fraction, float | int):
            raise ConfigError(f"crop_fraction is a number, got {self.crop_fraction!r}")
        self.images(Compat())

    def images(self, compat: Compat) -> ImageOptions:
        """What concerns pictures."""
        return ImageOptions(
            shortest_image_edge=self.shortest_image_edge,
            crop_fraction=self.crop_fraction,
            letterbox=compat.letterbox,
            random_rotation_angle=self.random_rotation_angle,
            color_jitter_params=self.color_jitter_params,
        )

    def scaling(self) -> ScalingOptions:
        """What concerns states and actions."""
        return ScalingOptions(
            use_percentiles=self.use_percentiles,
            clip_outliers=self.clip_outliers,
            apply_sincos_state_encoding=self.apply_sincos_state_encoding,
            use_relative_action=self.use_relative_action,
        )

    def changed(self, **changes: Any) -> Self:
        """With some fields of other values.

        Raises:
            ConfigError: an unknown field, or a value that is not supported.
        """
        for name in changes:
            if name not in KNOWN:
                raise unknown_name("setting of the processor", name, KNOWN)
        return replace(self, **changes, absent=self.absent - set(changes))

    def to_json(self) -> dict[str, Any]:
        known = {n: getattr(self, n) for n in KNOWN if n not in self.absent}
        jitter = known.get("color_jitter_params")
        if jitter is not None:
            known["color_jitter_params"] = dict(jitter)
        return {**known, **self.extra}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], **changes: Any) -> Self:
        """
        Args:
            data: `processor_kwargs`; unknown fields are kept.
            changes: fields that are to have other values.

        Raises:
            ConfigError: an unknown change, or a value that is not supported.
        """
        for name in changes:
            if name not in KNOWN:
                raise unknown_name("setting of the processor", name, KNOWN)
        known = {name: data[name] for name in KNOWN if name in data} | changes
        ours = {*KNOWN, "modality_configs"}
        extra = {name: value for name, value in data.items() if name not in ours}
        return cls(**known, extra=extra, absent=frozenset(set(KNOWN) - set(known)))


KNOWN = tuple(f.name for f in fields(ProcessorSettings) if f.name not in ("extra", "absent"))

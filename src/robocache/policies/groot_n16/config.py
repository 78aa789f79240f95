"""Settings of the network, from and to the `config.json` of a GR00T N1.6 checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from robocache.core.errors import ConfigError
from robocache.policies.groot_n16.generations import require_n16_config
from robocache.policies.groot_n16.sizes import DiffusionConfig, TextConfig, VisionConfig

T = TypeVar("T", "VisionConfig", "TextConfig", "DiffusionConfig")


# What the public code assumes where a config.json leaves a field out and the release says more.
ABSENT = {"max_state_dim": 29, "max_action_dim": 29, "action_horizon": 16}

# Fields of the released config.json that the network does not read; they are written back.
UNREAD: dict[str, Any] = {
    "model_type": "Gr00tN1d6",
    "architectures": ["Gr00tN1d6"],
    "model_dtype": "bfloat16",
    "model_name": "nvidia/Eagle-Block2A-2B-v2",
    "backbone_model_type": "eagle",
    "model_revision": None,
    "reproject_vision": False,
    "use_flash_attention": True,
    "load_bf16": True,
    "collator_overwrite_image_inputs": False,
    "eagle_collator": True,
    "backbone_trainable_params_fp32": True,
    "image_crop_size": None,
    "image_target_size": None,
    "shortest_image_edge": 256,
    "crop_fraction": 0.95,
    "random_rotation_angle": None,
    "color_jitter_params": {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.1},
    "use_albumentations_transforms": True,
    "formalize_language": True,
    "apply_sincos_state_encoding": True,
    "use_relative_action": True,
    "attn_dropout": 0.2,
}


@dataclass(frozen=True)
class GrootConfig:
    """Size and behaviour of `GrootN16`; the defaults are those of the released 3B model.

    Names are those of the public `config.json`.

    Attributes:
        backbone_embedding_dim: width of the vision and language features.
        select_layer: language layers that are kept.
        tune_llm, tune_visual, tune_projector, tune_diffusion_model, tune_vlln: parts that train.
        tune_top_llm_layers: so many of the last language layers train.
        max_state_dim, max_action_dim: to which states and actions of all embodiments are padded.
        action_horizon: to how many steps chunks are padded.
        hidden_size: width inside the embodiment-specific networks.
        input_embedding_dim: width of state and action tokens.
        add_pos_embed: action tokens get a learned position.
        max_seq_len: number of learned positions.
        use_vlln: features are layer-normalised before the DiT.
        use_alternate_vl_dit: even DiT blocks see text and images in turn, without padding;
            otherwise all of it, padding too.
        attend_text_every_n_blocks: with n = 2 every second cross-attending block sees text.
        num_inference_timesteps: Euler steps from noise to actions.
        noise_beta_alpha, noise_beta_beta, noise_s: training times are (1 - Beta) * noise_s.
        num_timestep_buckets: times are known to the network as one of so many integers.
        state_dropout_prob: share of training states replaced by a learned token.
        state_additive_noise_scale: standard deviation of noise on encoded states in training.
        max_num_embodiments: rows of the embodiment-specific weights.
        diffusion_model_cfg, vision_config, text_config: sizes of the parts.
        extra: everything else in config.json, kept as it came.
    """

    backbone_embedding_dim: int = 2048
    select_layer: int = 16
    tune_llm: bool = False
    tune_visual: bool = False
    tune_top_llm_layers: int = 4
    tune_projector: bool = True
    tune_diffusion_model: bool = True
    tune_vlln: bool = True
    max_state_dim: int = 128
    max_action_dim: int = 128
    action_horizon: int = 50
    hidden_size: int = 1024
    input_embedding_dim: int = 1536
    add_pos_embed: bool = True
    max_seq_len: int = 1024
    use_vlln: bool = True
    use_alternate_vl_dit: bool = True
    attend_text_every_n_blocks: int = 2
    num_inference_timesteps: int = 4
    noise_beta_alpha: float = 1.5
    noise_beta_beta: float = 1.0
    noise_s: float = 0.999
    num_timestep_buckets: int = 1000
    state_dropout_prob: float = 0.0
    state_additive_noise_scale: float = 0.0
    max_num_embodiments: int = 32
    diffusion_model_cfg: DiffusionConfig = field(default_factory=DiffusionConfig)
    vision_config: VisionConfig = field(default_factory=VisionConfig)
    text_config: TextConfig = field(default_factory=TextConfig)
    extra: Mapping[str, Any] = field(default_factory=lambda: dict(UNREAD))

    def __post_init__(self) -> None:
        width = self.diffusion_model_cfg.width
        if width != self.input_embedding_dim:
            raise ConfigError(
                f"input_embedding_dim is {self.input_embedding_dim}, but num_attention_heads * "
                f"attention_head_dim of diffusion_model_cfg is {width}; they must be equal"
            )
        if self.diffusion_model_cfg.output_dim != self.hidden_size:
            raise ConfigError(
                f"hidden_size is {self.hidden_size}, but output_dim of diffusion_model_cfg is "
                f"{self.diffusion_model_cfg.output_dim}; they must be equal"
            )
        if self.add_pos_embed and self.action_horizon > self.max_seq_len:
            raise ConfigError(
                f"action_horizon={self.action_horizon} needs as many positions, max_seq_len is "
                f"{self.max_seq_len}"
            )
        if self.use_alternate_vl_dit and not self.diffusion_model_cfg.interleave_self_attention:
            raise ConfigError("use_alternate_vl_dit needs interleave_self_attention=true")
        if not 0 <= self.state_dropout_prob <= 1:
            raise ConfigError(f"state_dropout_prob must lie in 0..1, got {self.state_dropout_prob}")

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> GrootConfig:
        """The settings in a parsed `config.json`; fields it leaves out are the public code's.

        Raises:
            CheckpointError: it is the configuration of another generation of GR00T, or of no GR00T.
            ConfigError: a value cannot be used.
        """
        require_n16_config(data)
        known, extra = _split(GrootConfig, {**ABSENT, **data})
        known["diffusion_model_cfg"] = _part(DiffusionConfig, data, "diffusion_model_cfg")
        known["vision_config"] = _part(VisionConfig, data, "vision_config")
        known["text_config"] = _part(TextConfig, data, "text_config")
        return GrootConfig(**known, extra=extra)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads; sizes of the backbone only where they are not the released ones.

        The public code knows no other backbone, and would not know these two fields.
        """
        data = {**self.extra, **_plain(self)}
        data["diffusion_model_cfg"] = _flat(self.diffusion_model_cfg)
        for name, part in (
            ("vision_config", self.vision_config),
            ("text_config", self.text_config),
        ):
            if part != type(part)():
                data[name] = _flat(part)
        return data

    @staticmethod
    def tiny(**overrides: Any) -> GrootConfig:
        """A model of five million parameters, most of them token embeddings, for a laptop."""
        small = GrootConfig(
            backbone_embedding_dim=32,
            select_layer=2,
            tune_top_llm_layers=1,
            max_state_dim=16,
            max_action_dim=16,
            action_horizon=16,
            hidden_size=32,
            input_embedding_dim=32,
            max_seq_len=64,
            max_num_embodiments=32,
            diffusion_model_cfg=DiffusionConfig(
                num_layers=4, num_attention_heads=4, attention_head_dim=8, output_dim=32
            ),
            vision_config=VisionConfig(
                hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
            ),
            text_config=TextConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=8,
            ),
        )
        return replace(small, **overrides)


def _part(kind: type[T], data: Mapping[str, Any], name: str) -> T:
    given = data.get(name)
    if given is None:
        return kind()
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name} in config.json must be an object, got {given!r}")
    known, extra = _split(kind, given)
    return kind(**known, extra=extra)


def _split(kind: type, data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of a dataclass, checked against the type of their default, and the other keys."""
    defaults = {item.name: item.default for item in fields(kind) if item.name != "extra"}
    known, extra = {}, {}
    for name, value in data.items():
        if name not in defaults:
            extra[name] = value
            continue
        default = defaults[name]
        if isinstance(default, bool | int | float):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            whole = isinstance(value, int) or not isinstance(default, int)
            if not (isinstance(value, bool) if isinstance(default, bool) else number and whole):
                raise ConfigError(
                    f"{name} in config.json must be {type(default).__name__}, got {value!r}"
                )
        known[name] = value
    return known, extra


def _plain(part: GrootConfig | VisionConfig | TextConfig | DiffusionConfig) -> dict[str, Any]:
    values = {item.name: getattr(part, item.name) for item in fields(part)}
    return {name: value for name, value in values.items() if isinstance(value, bool | int | float)}


def _flat(part: VisionConfig | TextConfig | DiffusionConfig) -> dict[str, Any]:
    return {**part.extra, **_plain(part)}

"""Settings of a GR00T N1.6 policy: where it starts, what its robots' streams mean, what trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from robocache.core.errors import ConfigError
from robocache.core.window import StreamInput, Window
from robocache.policies.groot_n16.lora import LoraSettings
from robocache.policies.groot_n16.processing.embodiments import LANGUAGE_KEY, make_embodiment
from robocache.policies.groot_n16.processing.modality import (
    ActionConfig,
    ActionFormat,
    ActionType,
    EmbodimentConfig,
    Representation,
)
from robocache.policies.groot_n16.processing.statistics import StatisticsPolicy


@dataclass(frozen=True)
class StateGroup:
    """Part of a stream that the network gets as one group, or zeros.

    Attributes:
        stream: name of the stream.
        columns: the first, and one past the last; None: all.
        zeros: instead of a stream so many zeros, for numbers that a checkpoint was trained with and
            that this robot does not have.
    """

    stream: str = ""
    columns: tuple[int, int] | None = None
    zeros: int = 0

    def __post_init__(self) -> None:
        if self.zeros < 0 or bool(self.stream) == bool(self.zeros):
            raise ConfigError(
                f"a state group has a stream or zeros, got stream={self.stream!r} and "
                f"zeros={self.zeros}"
            )


@dataclass(frozen=True)
class ActionGroup:
    """Part of the action stream that is one group.

    Attributes:
        columns: the first, and one past the last; None: all.
        rep: ABSOLUTE, RELATIVE to a state, or DELTA.
        type: NON_EEF, subtracted number by number, or EEF, a pose.
        format: of a pose: DEFAULT, XYZ_ROT6D or XYZ_ROTVEC.
        state: the state group that it is relative to; empty: the one of its own name.
    """

    columns: tuple[int, int] | None = None
    rep: Literal["ABSOLUTE", "RELATIVE", "DELTA"] = "ABSOLUTE"
    type: Literal["NON_EEF", "EEF"] = "NON_EEF"
    format: Literal["DEFAULT", "XYZ_ROT6D", "XYZ_ROTVEC"] = "DEFAULT"
    state: str = ""

    def config(self) -> ActionConfig:
        """The same in the processor's words."""
        return ActionConfig(
            Representation[self.rep],
            ActionType[self.type],
            ActionFormat[self.format],
            self.state or None,
        )


@dataclass(frozen=True)
class EmbodimentSettings:
    """What the streams of a robot are to the network.

    The network gets views and groups in the order of the base's processor_config.json where that
    has the same names for the embodiment, else in alphabetical order; the instruction has the
    base's key.

    Attributes:
        video: view -> stream.
        state: state group -> part of a stream.
        action: action group -> part of the action stream.
        horizon: action steps.
        inputs, action_stream, rate_hz: the streams it is recorded as and the rate of its actions,
            where they are not those of the policy.
        sin_cos: state groups in radians given as sine and cosine.
        mean_std_state, mean_std_action: groups scaled by mean and standard deviation.
        projector: row of the embodiment-specific layers; None: as the base or the public code has
            it for this tag.
        statistics: what states and actions are normalised with.
    """

    video: Mapping[str, str]
    state: Mapping[str, StateGroup]
    action: Mapping[str, ActionGroup]
    horizon: int = 16
    inputs: tuple[StreamInput, ...] = ()
    action_stream: str = ""
    rate_hz: float = 0.0
    sin_cos: tuple[str, ...] = ()
    mean_std_state: tuple[str, ...] = ()
    mean_std_action: tuple[str, ...] = ()
    projector: int | None = None
    statistics: StatisticsPolicy = "dataset"

    def config(
        self,
        tag: str,
        steps_before: tuple[int, ...] = (0,),
        known: EmbodimentConfig | None = None,
    ) -> EmbodimentConfig:
        """The same in the processor's words.

        Args:
            tag: name of the embodiment.
            steps_before: at which steps pictures and states are seen, e.g. (-2, 0).
            known: what the base has for this tag.
        """

        def ordered(kind: str) -> list[str]:
            names = sorted(getattr(self, kind))
            there = [] if known is None else list(getattr(known, kind).modality_keys)
            return there if sorted(there) == names else names

        return make_embodiment(
            tag,
            video=ordered("video"),
            state=ordered("state"),
            action=ordered("action"),
            horizon=self.horizon,
            language=LANGUAGE_KEY if known is None else known.language_key,
            video_indices=steps_before,
            state_indices=steps_before,
            action_configs={key: group.config() for key, group in self.action.items()},
            sin_cos=self.sin_cos,
            mean_std_state=self.mean_std_state,
            mean_std_action=self.mean_std_action,
        )


@dataclass(frozen=True)
class GrootSettings:
    """A GR00T N1.6 policy.

    Attributes:
        base: checkpoint that it starts from: a folder, or `owner/name` on the Hugging Face hub.
        embodiments: tag -> meaning of its streams. In a mixture each dataset names its own. The
            policy acts as the first by name, unless it is told to act as another.
        tokenizer: folder with Qwen2's tokenizer; empty: it is in the base.
        execute_steps: actions executed before the policy is asked again.
        flow_steps: Euler steps from noise to actions.
        tune_visual, tune_llm, tune_top_llm_layers, tune_projector, tune_diffusion_model, tune_vlln:
            parts that train.
        lora: adapters that train instead of the backbone's and the DiT's own weights; None: none.
        gradient_checkpointing: compute parts again in the backward pass; less memory, same result.
        state_dropout: share of training states replaced by a learned token.
        augment: crop, rotate and colour pictures in training as the base's processor says.
        feature_cache: keep on disk what the backbone makes of each training window, so that later
            epochs need neither it nor pictures; nothing of it may train then, and augment must be
            false.
        dtype: of the weights that do not train; what trains is float32.
        compile: act with a DiT that torch compiled: faster, but the first answers take a minute or
            more; needs a C++ compiler.
        batch_rows: observations that are asked about at once, exactly; fewer are filled up, so that
            an answer does not depend on who else asks.
        base_sha256: what the base holds; filled in when training begins, and held against it.
    """

    base: str
    embodiments: Mapping[str, EmbodimentSettings]
    kind: Literal["groot_n16"] = "groot_n16"
    tokenizer: str = ""
    execute_steps: int = 8
    flow_steps: int = 4
    tune_visual: bool = False
    tune_llm: bool = False
    tune_top_llm_layers: int = 4
    tune_projector: bool = True
    tune_diffusion_model: bool = True
    tune_vlln: bool = True
    lora: LoraSettings | None = None
    gradient_checkpointing: bool = False
    state_dropout: float = 0.0
    augment: bool = True
    feature_cache: bool = False
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    compile: bool = False
    batch_rows: int = 1
    base_sha256: str = ""

    def __post_init__(self) -> None:
        if not self.embodiments:
            raise ConfigError("embodiments must name at least one robot and its streams")
        if not 1 <= self.execute_steps <= self.horizon:
            raise ConfigError(
                f"execute_steps must lie in 1..horizon={self.horizon}, got {self.execute_steps}"
            )
        if self.flow_steps < 1 or self.batch_rows < 1:
            raise ConfigError("flow_steps and batch_rows must be at least 1")

    @property
    def first(self) -> str:
        """The embodiment that counts where none is named."""
        return min(self.embodiments)

    def windows(
        self, inputs: tuple[StreamInput, ...], action: str, rate_hz: float
    ) -> dict[str, Window]:
        """Embodiment -> what its training samples see and predict.

        Args:
            inputs, action, rate_hz: of robots that have none of their own.
        """
        return {
            tag: Window(
                robot.inputs or inputs,
                robot.action_stream or action,
                robot.rate_hz or rate_hz,
                robot.horizon,
            )
            for tag, robot in self.embodiments.items()
        }

    @property
    def horizon(self) -> int:
        """Action steps of the embodiment that has most."""
        return max(robot.horizon for robot in self.embodiments.values())

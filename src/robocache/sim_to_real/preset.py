"""What lies between simulator and robot, as one setting: `sim_to_real=standard`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from robocache.core.episode import Episode
from robocache.core.seeding import derive_seed, generator
from robocache.core.stream import StreamSpec
from robocache.sim_to_real.kinds import is_depth, is_picture
from robocache.sim_to_real.latency import LatencyConfig, LatencySimulator
from robocache.sim_to_real.ranges import DepthRanges, ImageRanges, Randomization

CAMERAS, STATES = "cameras", "states"


@dataclass(frozen=True)
class SimToReal:
    """Delay and loss of samples, and other cameras and range sensors; by default nothing.

    Attributes:
        latency: name of a stream, or `cameras` or `states` for all others of that kind, -> delay
            and loss. Streams without a rate (a goal given once) are never late.
        images, depth, lidar: see `Randomization`.
    """

    latency: Mapping[str, LatencyConfig] = field(default_factory=dict)
    images: ImageRanges = field(default_factory=ImageRanges)
    depth: DepthRanges = field(default_factory=DepthRanges)
    lidar: tuple[str, ...] = ()

    @property
    def randomization(self) -> Randomization | None:
        """How pictures and ranges are changed; None: not at all."""
        wanted = Randomization(self.images, self.depth, self.lidar)
        return None if wanted.is_none else wanted

    @property
    def is_none(self) -> bool:
        """Whether nothing lies between them."""
        return not self.latency and self.randomization is None

    @property
    def named(self) -> set[str]:
        """Streams that it names."""
        return {*self.latency, *self.lidar} - {CAMERAS, STATES}

    def latency_of(self, stream: str, spec: StreamSpec) -> LatencyConfig | None:
        """Delay and loss of a stream."""
        if stream in self.latency:
            return self.latency[stream]
        if spec.rate_hz is None:
            return None
        camera = is_picture(spec) or is_depth(spec) or stream in self.lidar
        return self.latency.get(CAMERAS if camera else STATES)


@dataclass(frozen=True)
class Delays:
    """Episodes with streams as late, and with as many losses, as a robot's, or less so.

    The delay and loss of the preset are the worst: each stream of an episode has a share of them,
    drawn evenly from 0 to 1, so that what is learned holds for good links, too. A stream whose
    arrival was measured stays as it is.

    Attributes:
        preset: has the latency.
        streams: which may be late; actions are not.
        seed: of shares and delays, with the key of each episode.
    """

    preset: SimToReal
    streams: tuple[str, ...]
    seed: int

    def __call__(self, episode: Episode) -> Episode:
        late = dict(episode.streams)
        seed = derive_seed(self.seed, f"delays/{episode.key}")
        for name in self.streams:
            stream = late.get(name)
            if stream is None or stream.available_s is not None:
                continue
            config = self.preset.latency_of(name, stream.spec)
            if config is not None:
                share = generator(seed, f"share/{name}").random()
                late[name] = LatencySimulator(config.scaled(share), seed, name).delayed(stream)
        return replace(episode, streams=late)

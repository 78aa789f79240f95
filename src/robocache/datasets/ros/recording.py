"""One pass over a bag: what its topics tell becomes streams, a report, and a list of problems."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robocache.core.errors import CorruptFileError, DataError, MissingStreamError, TimesError
from robocache.core.stream import FrameArray, Stream, StreamSpec
from robocache.datasets.frames import EncodedFrames
from robocache.datasets.ros.bag import Bag, BagMetadata, listed_files, read_metadata
from robocache.datasets.ros.clocks import (
    GAP_PERIODS,
    Source,
    Timeline,
    choose_clock,
    make_timeline,
    measure,
    skew_problem,
)
from robocache.datasets.ros.gathering import TopicReader, is_instruction
from robocache.datasets.ros.open_file import open_storage
from robocache.datasets.ros.pictures import Pictures
from robocache.datasets.ros.storage import Findings, Storage
from robocache.datasets.ros.tracks import Track


@dataclass
class Recording:
    """A bag that was read.

    Attributes:
        streams: stream name -> Stream.
        instruction: words; "" when there are none.
        start_ns: earliest capture, nanoseconds since the epoch.
        topics: topic -> type, messages, clock, what is not read and why, for people.
        measured: stream name -> what `measure` found, and names of its numbers.
        cameras: topic -> calibration, from sensor_msgs/CameraInfo.
        damage: why the bag cannot be trusted; empty when it can.
        notices: everything else that is wrong.
    """

    streams: dict[str, Stream] = field(default_factory=dict)
    instruction: str = ""
    start_ns: int = 0
    topics: dict[str, dict[str, Any]] = field(default_factory=dict)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    cameras: dict[str, dict[str, Any]] = field(default_factory=dict)
    damage: list[DataError] = field(default_factory=list)
    notices: list[DataError] = field(default_factory=list)


def read_recording(bag: Bag, instruction_topic: str | None = None) -> Recording:
    """Read a bag; pictures stay in it and are fetched when a stream is indexed.

    Raises:
        Nothing for what is in the bag: problems are in the result, located in file and topic.
    """
    recording = Recording()
    readers: dict[str, TopicReader] = {}
    files, metadata = _storage_files(bag, recording)
    storages: list[Storage] = []
    for file in files:
        try:
            storages.append(open_storage(file))
        except DataError as error:
            recording.damage.append(error)
            continue
        _read_file(len(storages) - 1, storages[-1], readers, instruction_topic, recording)
    if metadata is not None:
        recording.notices += _count_problems(bag, metadata, readers)
    _Builder(bag, storages, recording).build(readers, instruction_topic)
    recording.damage = [error.located(episode=bag.key) for error in recording.damage]
    recording.notices = [error.located(episode=bag.key) for error in recording.notices]
    return recording


def _storage_files(bag: Bag, recording: Recording) -> tuple[list[Path], BagMetadata | None]:
    if bag.metadata is None:
        return list(bag.files), None
    try:
        metadata = read_metadata(bag.metadata)
    except CorruptFileError as error:
        recording.notices.append(error)
        return list(bag.files), None
    files, wrong = listed_files(bag, metadata)
    recording.notices += wrong
    if not files:
        missing = "none of the storage files that it names is there"
        recording.damage.append(CorruptFileError(missing, file=bag.metadata))
    return files, metadata


def _read_file(
    number: int,
    storage: Storage,
    readers: dict[str, TopicReader],
    instruction_topic: str | None,
    recording: Recording,
) -> None:
    found = Findings()
    known = 0

    def declare() -> int:
        for topic in found.topics[known:]:
            if topic.name in readers:
                readers[topic.name].declared_again(topic)
            else:
                wanted = is_instruction(topic, instruction_topic)
                readers[topic.name] = TopicReader(topic, instruction=wanted)
        return len(found.topics)

    for message in storage.messages(found):
        if known < len(found.topics):
            known = declare()
        readers[message.topic.name].add(message, number)
    known = declare()
    recording.damage += found.damage
    recording.notices += found.notices


def _count_problems(
    bag: Bag, metadata: BagMetadata, readers: dict[str, TopicReader]
) -> list[DataError]:
    """Where metadata.yaml counts other messages than the files hold."""
    wrong: list[DataError] = []
    total = sum(reader.count for reader in readers.values())
    if metadata.count is not None and metadata.count != total:
        problem = f"counts {metadata.count} messages, the files hold {total}"
        wrong.append(CorruptFileError(problem, file=bag.metadata))
    for name, count in metadata.counts.items():
        held = readers[name].count if name in readers else 0
        if held != count:
            problem = f"counts {count} messages, the files hold {held}"
            wrong.append(CorruptFileError(problem, file=bag.metadata, stream=name))
    return wrong


class _Builder:
    """Makes streams of what was gathered."""

    def __init__(self, bag: Bag, storages: list[Storage], recording: Recording) -> None:
        self._bag, self._storages, self._recording = bag, storages, recording
        self._file = bag.metadata.parent if bag.metadata is not None else bag.files[0]
        self._parts: dict[str, tuple[Track, Timeline]] = {}

    def build(self, readers: dict[str, TopicReader], instruction_topic: str | None) -> None:
        for name, reader in sorted(readers.items()):
            self._topic(name, reader)
        self._instruction(readers, instruction_topic)
        starts = [int(line.capture_ns[0]) for _, line in self._parts.values()]
        self._recording.start_ns = min(starts, default=0)
        for name, (track, line) in self._parts.items():
            self._stream(name, track, line)

    def _topic(self, name: str, reader: TopicReader) -> None:
        for error in reader.problems:
            self._notice(error, name)
        if reader.count == 0:
            self._notice(MissingStreamError("declared, but has no message"), name)
        about: dict[str, Any] = {"type": reader.topic.type, "messages": reader.count}
        self._recording.topics[name] = about
        if reader.not_read:
            about["not_read"] = reader.not_read
        if reader.left_out:
            about["left_out"] = reader.left_out
        if reader.camera:
            self._recording.cameras[name] = reader.camera
        about["streams"] = []
        for suffix, track in reader.tracks.items():
            self._track(name, suffix, track, about)

    def _track(self, topic: str, suffix: str, track: Track, about: dict[str, Any]) -> None:
        stream = topic + suffix
        if track.problem is not None:
            self._notice(track.problem, stream)
            about.setdefault("not_read_parts", {})[suffix] = track.problem.problem
            return
        times = track.times()
        source, wrong = choose_clock(times)
        line = make_timeline(times, source)
        if skew := skew_problem(times, source):
            wrong.append(skew)
        for error in wrong:
            self._notice(error, stream)
        about["streams"].append(stream)
        self._parts[stream] = (track, line)
        found = {**measure(line), "topic": topic, "capture": source}
        if track.output.fields:
            found["fields"] = list(track.output.fields)
        if track.output.picture is not None:
            found["encoding"] = track.output.picture.text
        self._recording.measured[stream] = found
        self._order_problems(stream, line, source, found)

    def _order_problems(
        self, stream: str, line: Timeline, source: Source, found: dict[str, Any]
    ) -> None:
        if line.late:
            wrong = f"{line.late} samples arrived after later ones: sorted by capture ({source})"
            self._notice(TimesError(wrong), stream)
        if line.dropped:
            wrong = f"{line.dropped} samples have the time of another one ({source}): left out"
            self._notice(TimesError(wrong), stream)
        if found["gaps"]:
            wrong = (
                f"{found['gaps']} gaps above {GAP_PERIODS:g} periods of a {found['rate_hz']} Hz "
                f"stream, the longest {found['longest_gap_s']:.3f} s"
            )
            self._notice(TimesError(wrong), stream)

    def _stream(self, name: str, track: Track, line: Timeline) -> None:
        start_ns = self._recording.start_ns
        try:
            values = self._values(name, track, line)
        except DataError as error:
            self._notice(error, name)
            self._recording.topics[self._recording.measured.pop(name)["topic"]]["streams"].remove(
                name
            )
            return
        spec = StreamSpec(
            shape=tuple(values.shape[1:]),
            dtype=values.dtype.name,
            rate_hz=self._recording.measured[name]["rate_hz"],
            unit=track.output.unit,
            clock="measured",
        )
        self._recording.streams[name] = Stream(
            values=values,
            times_s=(line.capture_ns - start_ns) / 1e9,
            spec=spec,
            available_s=(line.available_ns - start_ns) / 1e9,
        )

    def _values(self, name: str, track: Track, line: Timeline) -> FrameArray:
        values = track.values()[line.order]
        picture = track.output.picture
        if picture is None:
            return values
        pictures = Pictures(self._storages, values)
        place = _Place(str(self._file), self._bag.key, name)
        return EncodedFrames(pictures, place=place, decode=picture.decode)

    def _instruction(self, readers: dict[str, TopicReader], wanted: str | None) -> None:
        spoken = {name: reader.texts for name, reader in sorted(readers.items()) if reader.texts}
        texts = [text for found in spoken.values() for text in found]
        self._recording.instruction = texts[0] if texts else ""
        if len(texts) > 1:
            wrong = f"{len(texts)} different instructions; the first one is used: {texts[0]!r}"
            self._notice(DataError(wrong), ", ".join(spoken))
        if wanted is not None and not texts:
            missing = "no std_msgs/String message of this topic holds an instruction"
            self._notice(MissingStreamError(missing), wanted)

    def _notice(self, error: DataError, stream: str) -> None:
        self._recording.notices.append(error.located(file=self._file, stream=stream))


@dataclass(frozen=True)
class _Place:
    """Names file, episode and stream of a picture that is wrong."""

    file: str
    episode: str
    stream: str

    def __call__(self, error: DataError, number: int) -> DataError:
        error = type(error)(f"picture {number}: {error.problem}", file=error.file)
        return error.located(file=self.file, episode=self.episode, stream=self.stream)

"""What one topic of a bag tells: streams, a camera's calibration, or an instruction."""

from __future__ import annotations

from typing import Any

from robocache.core.errors import DataError
from robocache.datasets.ros.cdr import Bytes, Fields, MessageType
from robocache.datasets.ros.definitions import short_name, topic_definitions
from robocache.datasets.ros.messages import interpreter, why_not_read
from robocache.datasets.ros.samples import Interpreter, has_fields
from robocache.datasets.ros.storage import Message, Topic, unpacked
from robocache.datasets.ros.tracks import Track

INSTRUCTION_NAMES = ("instruction", "language_instruction", "prompt", "task", "task_description")
"""A std_msgs/String topic whose name ends so holds the instruction, unless one is named."""

_CAMERA = {"height": "uint32", "width": "uint32", "k": "float64[]", "d": "float64[]"}
_CAMERA_FIELDS = ("width", "height", "k", "d", "r", "p", "distortion_model", "header.frame_id")


class TopicReader:
    """Gathers the messages of one topic.

    Attributes:
        topic: as it was declared first.
        count: number of messages.
        tracks: suffix -> samples of a stream.
        texts: the different texts of an instruction topic, in order.
        camera: calibration of a camera.
        not_read: why it gives no stream; "" when it does, or is a calibration or instruction.
        problems: what is wrong with its messages.
    """

    def __init__(self, topic: Topic, *, instruction: bool) -> None:
        self.topic = topic
        self.count = 0
        self.tracks: dict[str, Track] = {}
        self.texts: list[str] = []
        self.camera: dict[str, Any] = {}
        self.not_read = ""
        self.problems: list[DataError] = []
        self._kind: MessageType | None = None
        self._interpreter: Interpreter | None = None
        try:
            self._prepare(instruction)
        except DataError as error:
            self._give_up(error)

    @property
    def left_out(self) -> list[str]:
        """Fields that are in no stream."""
        return [] if self._interpreter is None else self._interpreter.left_out

    def declared_again(self, topic: Topic) -> None:
        """Another file, or channel, declares the same topic."""
        if topic != self.topic and not self.not_read:
            differs = "of two types" if topic.type != self.topic.type else "declared differently"
            self._give_up(DataError(f"{differs} in one bag ({self.topic.type}, {topic.type})"))

    def add(self, message: Message, file: int) -> None:
        """Take a message that lies in the bag's file number `file`."""
        self.count += 1
        if self.not_read or self._kind is None:
            return
        try:
            data = unpacked(message.data)
            self._take(self._kind.decode(data), data, message, file)
        except DataError as error:
            self._give_up(DataError(f"message {self.count - 1}: {error.problem}"))

    def _prepare(self, instruction: bool) -> None:
        kind = MessageType(short_name(self.topic.type), topic_definitions(self.topic))
        self._is_camera = kind.name == "sensor_msgs/CameraInfo" and has_fields(kind, _CAMERA)
        self._is_instruction = instruction and has_fields(kind, {"data": "string"})
        if not self._is_camera and not self._is_instruction:
            self.not_read = why_not_read(kind)
            if self.not_read:
                return
            self._interpreter = interpreter(kind)
        self._kind = kind

    def _take(self, fields: Fields, data: Bytes, message: Message, file: int) -> None:
        if self._is_instruction:
            text = fields["data"].strip()
            if text and text not in self.texts:
                self.texts.append(text)
        elif self._is_camera:
            self._calibrate(fields)
        elif self._interpreter is not None:
            for sample in self._interpreter.samples(fields, data):
                suffix = sample.output.suffix
                if suffix not in self.tracks:
                    self.tracks[suffix] = Track(sample.output)
                if self.tracks[suffix].problem is None:
                    self.tracks[suffix].add(sample, message, file)

    def _calibrate(self, fields: Fields) -> None:
        found = {
            path.removeprefix("header."): value.tolist() if hasattr(value, "tolist") else value
            for path in _CAMERA_FIELDS
            if (value := fields.get(path)) is not None
        }
        if self.camera and found != self.camera and not self.problems:
            wrong = f"the calibration changes at message {self.count - 1}; the first one is kept"
            self.problems.append(DataError(wrong))
        self.camera = self.camera or found

    def _give_up(self, error: DataError) -> None:
        self.not_read = error.problem
        self.problems.append(error)
        self.tracks.clear()


def is_instruction(topic: Topic, wanted: str | None) -> bool:
    """Whether a topic holds the instruction: the one that is named, or one with a usual name."""
    if short_name(topic.type) != "std_msgs/String":
        return False
    if wanted is not None:
        return topic.name.strip("/") == wanted.strip("/")
    return topic.name.rsplit("/", 1)[-1] in INSTRUCTION_NAMES

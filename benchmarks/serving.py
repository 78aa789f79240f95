"""What a server costs a policy: throughput with several clients, and latency of one.

    python benchmarks/serving.py

Clients are processes of their own that ask again as soon as they are answered, through a plain REQ
socket. The policy is a FlowPolicy with two cameras (--size, --hidden, untrained: its cost does not
depend on its weights), with one torch thread, so that a core is left for clients. Its own
throughput is that of `get_actions` in this process, with as many observations in a call as there
are clients, all of them already arrays. `--answer-ms` puts a policy in its place that only waits,
as one on a graphics card does.

Every answer is compared with the one that the policy gives here, and a difference ends the script.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zmq
from measure import arguments, interleave, publish, rates, ratio

from robocache.core import Statistics, StreamInput, StreamSpec, StreamStatistics
from robocache.core.errors import PolicyError
from robocache.policies import FlowConfig, FlowPolicy
from robocache.serving import Answer, ModalityConfig, PolicyServer, ServerConfig, StreamPolicy
from robocache.serving.observations import Expected, Reads

sys.path.append(str(Path(__file__).resolve().parents[1] / "packages" / "robocache-client" / "src"))
CAMERAS = ("front", "wrist")
STATE = 14


class Waits:
    """Reads the same as the flow policy; answers zeros after a while, however many are asked."""

    def __init__(self, size: int, answer_s: float) -> None:
        picture = Expected((1, size, size, 3), ("uint8",))
        self._reads = Reads(
            dict.fromkeys(CAMERAS, picture), {"arm": Expected((1, STATE), ("float32",))},
            ("task",), "a policy that waits",
        )  # fmt: skip
        self._answer_s = answer_s

    def modality_config(self) -> dict[str, ModalityConfig]:
        return {"action": ModalityConfig(list(range(16)), ["action"])}

    def example(self) -> dict[str, Any]:
        return self._reads.example()

    def get_actions(
        self, observations: Sequence[Mapping[str, Any]], options: Sequence[Mapping[str, Any]]
    ) -> list[Answer]:
        time.sleep(self._answer_s)
        return [
            ({"action": np.full((1, 16, STATE), one["seed"] % 997, np.float32)}, {})
            for one in options
        ]

    def reset(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {}


def flow(size: int, hidden: int, rows: int) -> StreamPolicy:
    """A FlowPolicy with two cameras and joint positions, whose blocks have `rows` rows."""
    ones = np.ones(STATE)
    statistics = StreamStatistics(0 * ones, ones, -ones, ones, -ones, ones, 100)
    specs = {
        **{name: StreamSpec((size, size, 3), "uint8", 20.0) for name in CAMERAS},
        "arm": StreamSpec((STATE,), rate_hz=100.0),
        "action": StreamSpec((STATE,), rate_hz=20.0),
    }
    torch.manual_seed(0)
    return StreamPolicy(
        FlowPolicy(
            FlowConfig(hidden=hidden, batch_rows=rows),
            inputs=[StreamInput(name) for name in (*CAMERAS, "arm")],
            specs=specs,
            action="action",
            rate_hz=20.0,
            statistics=Statistics({"arm": statistics, "action": statistics}),
        )
    )


def question(example: dict[str, Any], client: int) -> dict[str, Any]:
    """The observation of a client: noise, its own."""
    random = np.random.default_rng(client)
    for name, pictures in example["video"].items():
        example["video"][name] = random.integers(0, 256, pictures.shape).astype(np.uint8)
    for name, values in example["state"].items():
        example["state"][name] = random.normal(size=values.shape).astype(np.float32)
    return example


def client_process(
    address: str, observation: dict[str, Any], options: dict[str, Any], expected: bytes, pipe: Any
) -> None:
    """Asks as often as it is told to; gives the seconds of each question.

    One client packs its question and unpacks the answer every time; of several, which stand for
    other machines, each says the same bytes again, and looks for the actions in those it hears.
    """
    from robocache_client.wire import pack, unpack

    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.connect(address)
    question = {"endpoint": "get_action", "data": {"observation": observation, "options": options}}
    packed = pack(question)
    while order := pipe.recv():
        count, several = order
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            socket.send(packed if several else pack(question))
            answer = socket.recv()
            actions = answer if several else unpack(answer)[0]["action"].tobytes()
            seconds.append(time.perf_counter() - began)
            if expected not in actions:
                pipe.send("an answer differs from the policy's own")
                return
        pipe.send(seconds)
    socket.close(linger=0)


@contextmanager
def clients(
    address: str, questions: Sequence[tuple[dict[str, Any], dict[str, Any], bytes]]
) -> Iterator[Callable[[int, int], list[list[float]]]]:
    """Processes that ask; gives (how many of them, how often each) -> seconds of each."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for observation, options, expected in questions:
        here, there = context.Pipe()
        given = (address, observation, options, expected, there)
        processes.append(context.Process(target=client_process, args=given))
        processes[-1].start()
        pipes.append(here)

    def ask(number: int, count: int) -> list[list[float]]:
        for pipe in pipes[:number]:
            pipe.send((count, number > 1))
        answers = [pipe.recv() for pipe in pipes[:number]]
        for answer in answers:
            if isinstance(answer, str):
                raise PolicyError(answer)
        return answers

    try:
        ask(len(pipes), 1)
        yield ask
    finally:
        for pipe, process in zip(pipes, processes, strict=True):
            pipe.send(None)
            process.join()


@contextmanager
def served(policy: Any, number: int) -> Iterator[tuple[PolicyServer, str]]:
    """A server in a thread, and its address."""
    server = PolicyServer(policy, ServerConfig(port=0, max_batch=number))
    addresses: list[str] = []
    listening = threading.Event()

    def told(address: str) -> None:
        addresses.append(address)
        listening.set()

    thread = threading.Thread(target=server.serve, args=(told,))
    thread.start()
    listening.wait()
    try:
        yield server, addresses[0]
    finally:
        server.stop()
        thread.join()


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=40, help="of each client in a round")
    parser.add_argument("--size", type=int, default=96, help="pixels of a picture's side")
    parser.add_argument("--hidden", type=int, default=1024, help="width of the flow policy")
    parser.add_argument("--answer-ms", type=float, default=0.0, help="a policy that only waits")
    args = parser.parse_args()
    torch.set_num_threads(1)
    number, count = args.clients, args.requests
    policy: Any = flow(args.size, args.hidden, number)
    if args.answer_ms:
        policy = Waits(args.size, args.answer_ms / 1000)
    asked = [question(policy.example(), client) for client in range(number)]
    options = [{"seed": client} for client in range(number)]
    answers = [policy.get_actions([o], [s])[0][0] for o, s in zip(asked, options, strict=True)]
    expected = [actions["action"].tobytes() for actions in answers]
    one_client: list[float] = []

    def itself() -> float:
        began = time.perf_counter()
        for _ in range(count):
            policy.get_actions(asked, options)
        return time.perf_counter() - began

    def alone() -> float:
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            policy.get_actions(asked[:1], options[:1])
            seconds.append(time.perf_counter() - began)
        return float(np.median(seconds))

    with (
        served(policy, number) as (server, address),
        clients(address, list(zip(asked, options, expected, strict=True))) as ask,
    ):

        def through_the_server() -> float:
            began = time.perf_counter()
            ask(number, count)
            return time.perf_counter() - began

        def one_through_the_server() -> float:
            one_client.append(float(np.median(ask(1, count)[0])))
            return one_client[-1]

        seconds = interleave(
            {
                "policy": itself,
                "server": through_the_server,
                "policy_alone": alone,
                "server_one_client": one_through_the_server,
            },
            args.rounds,
        )
        batches = {str(k): v for k, v in sorted(server.metrics._batches.items())}
    many = {name: seconds[name] for name in ("policy", "server")}
    added = np.subtract(seconds["server_one_client"], seconds["policy_alone"])
    publish(
        args,
        {
            "measures": "a policy behind the server, and the same policy called directly",
            "policy": "waits" if args.answer_ms else "FlowPolicy, two cameras, untrained",
            "request_bytes": sum(
                a.nbytes for m in ("video", "state") for a in asked[0][m].values()
            ),
            "requests_per_round": number * count,
            "requests_per_s": rates(many, number * count),
            "share_of_the_policys_throughput": ratio(seconds["policy"], seconds["server"]),
            "added_latency_p50_ms": round(1000 * float(np.median(added)), 3),
            "batches": batches,
            "answers_identical": True,
            "torch_threads": torch.get_num_threads(),
        },
        seconds=seconds,
        peers={"server": "policy", "server_one_client": "policy_alone"},
    )


if __name__ == "__main__":
    main()

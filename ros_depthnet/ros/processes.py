"""Fly a recording through the nodes, each a process of its own: for the demo and the system test."""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import rclpy
import yaml
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

from ros_depthnet.ros.transport import enlarge_shared_memory
from ros_depthnet.whole_files import write_file
from ros_depthnet.worker_processes import start_module

PROCESSING_NODES = ('depth_node', 'cloud_node', 'obstacle_node')
_START_LIMIT = 60.0  # seconds for a node to appear, and for each of its transitions
_ANSWER_LIMIT = 3.0  # seconds after which a request or its answer may be lost: DDS loses some after discovery
_STOP_LIMIT = 10.0  # seconds after SIGINT
_LOG_STAMP = re.compile(r'^\[[A-Z]+\] \[[\d.]+\] \[[\w.]+\]: ')


_BRING_UP = (
    (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE, 'configured'),
    (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE, 'activated'),
)


class ProcessError(RuntimeError):
    """A node that did not start; the text says which and why in one sentence."""


class NodeProcess:
    """One node as a child process, which ends with this one; its output goes to a log file."""

    def __init__(self, name: str, namespace: str, parameters: Mapping[str, object], folder: Path):
        """Start it, unconfigured; the log and the parameters are in the folder."""
        self.name = name
        self.log = folder / f'{name}.log'
        file = folder / f'{name}.yaml'
        write_file(file, yaml.safe_dump({'/**': {'ros__parameters': {**parameters, 'autostart': False}}}))
        arguments = ['--ros-args', '--params-file', str(file), '-r', f'__ns:={namespace or "/"}']
        with self.log.open('w') as log:
            self._process = start_module(f'ros_depthnet.ros.{name}', arguments, stdout=log, stderr=subprocess.STDOUT)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.poll()

    @property
    def last_words(self) -> str:
        """The last line of the log that says something, without the logger's stamp."""
        lines = [line for line in self.log.read_text(errors='replace').splitlines() if line.strip()]
        return _LOG_STAMP.sub('', lines[-1]) if lines else 'it said nothing'

    def ended(self) -> ProcessError:
        """Return the error of having ended."""
        return ProcessError(f'{self.name} ended with status {self.exit_status}: {self.last_words}')

    def interrupt(self) -> None:
        """Ask it to end, as Ctrl-C does."""
        if self.exit_status is None:
            self._process.send_signal(signal.SIGINT)

    def join(self) -> int:
        """Wait for its end, force it after some seconds, and return the exit status."""
        try:
            return self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Flight:
    """
    A recording played through the nodes; a context manager that leaves no process behind.

    The recording begins to play when the block is entered, as soon as `depth_node` listens, which it does
    when somebody wants its output. `finished` tells when it has been played.
    """

    def __init__(
        self,
        recording: str | Path | None,
        parameters: Mapping[str, Mapping[str, object]] | None = None,
        namespace: str = '',
        folder: str | Path | None = None,
        processing_nodes: tuple[str, ...] = PROCESSING_NODES,
    ):
        """
        Prepare to fly; nothing is started yet. recording: None where another plays the camera.

        parameters: by node name, where they are not the defaults. folder: for logs and parameter files; a
        temporary one unless given.
        """
        names = (*processing_nodes, 'replay_node') if recording else processing_nodes
        self._parameters = {name: dict((parameters or {}).get(name, {})) for name in names}
        for name in processing_nodes:
            # No tf is played, so where tf2_ros is installed there is nothing to wait for.
            self._parameters[name].setdefault('camera_mounting', 'parameters')
        if recording:
            self._parameters['replay_node']['path'] = str(Path(recording).resolve())
        self._namespace = '/' + namespace.strip('/')
        self._given_folder = folder
        self._temporary: tempfile.TemporaryDirectory | None = None
        self.processes: dict[str, NodeProcess] = {}

    def __enter__(self) -> 'Flight':
        """Start all nodes, the replay last; raises ProcessError when one does not get ready."""
        if self._given_folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix='ros_depthnet_')
            folder = Path(self._temporary.name)
        else:
            folder = Path(self._given_folder)
        folder.mkdir(parents=True, exist_ok=True)
        enlarge_shared_memory()
        try:
            for name, parameters in self._parameters.items():
                self.processes[name] = NodeProcess(name, self._namespace, parameters, folder)
            with _Manager(self._namespace) as manager:
                for process in self.processes.values():
                    manager.bring_up(process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        """Stop all nodes."""
        self.stop()

    @property
    def finished(self) -> bool:
        """Tell whether the recording has been played; raises ProcessError when a node has ended otherwise."""
        for name, process in self.processes.items():
            if process.exit_status is not None and (name != 'replay_node' or process.exit_status != 0):
                raise process.ended()
        return self.processes['replay_node'].exit_status == 0

    def stop(self) -> dict[str, int]:
        """End all nodes and return their exit statuses; repeatable."""
        for process in self.processes.values():
            process.interrupt()
        statuses = {name: process.join() for name, process in self.processes.items()}
        if self._temporary:
            self._temporary.cleanup()
            self._temporary = None
        return statuses


class _Manager:
    """A lifecycle manager for the time of starting."""

    def __init__(self, namespace: str):
        self._namespace = namespace

    def __enter__(self) -> '_Manager':
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node(f'flight_manager_{os.getpid()}', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        return self

    def __exit__(self, *_) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def bring_up(self, process: NodeProcess) -> None:
        """Configure and activate a node."""
        name = f'{self._namespace.rstrip("/")}/{process.name}'
        change: Client = self._node.create_client(ChangeState, f'{name}/change_state')
        state: Client = self._node.create_client(GetState, f'{name}/get_state')
        clients = (change, state)
        if not self._spin(process, lambda: all(c.service_is_ready() for c in clients), _START_LIMIT):
            raise ProcessError(f'{process.name} did not appear within {_START_LIMIT:.0f} s: {process.last_words}')
        for transition, before, after, word in _BRING_UP:
            request = ChangeState.Request(transition=Transition(id=transition))
            until = time.monotonic() + _START_LIMIT
            answer = change.call_async(request)
            while not self._spin(process, answer.done, _ANSWER_LIMIT):
                if time.monotonic() > until:
                    raise ProcessError(
                        f'{process.name} was not {word} within {_START_LIMIT:.0f} s: {process.last_words}'
                    )
                # A node in a transition does not answer; one that is where it was has not heard the request.
                asked = state.call_async(GetState.Request())
                self._spin(process, asked.done, 1.0)
                if present := asked.result():
                    if present.current_state.id == after:
                        break
                    if present.current_state.id == before:
                        answer = change.call_async(request)
            changed = answer.result()
            if changed and not changed.success:
                raise ProcessError(f'{process.name} cannot be {word}: {process.last_words}')
        for client in clients:
            self._node.destroy_client(client)

    def _spin(self, process: NodeProcess, condition, seconds: float) -> bool:
        """Spin until the condition holds, at most for so long; tell whether it does."""
        until = time.monotonic() + seconds
        while not condition() and time.monotonic() < until:
            if process.exit_status is not None:
                raise process.ended()
            self._executor.spin_once(timeout_sec=0.1)
        return condition()

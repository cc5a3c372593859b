"""How every node runs as a process: start, spin, and a clean end on Ctrl-C, SIGTERM or when it is done."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.signals import SignalHandlerOptions

from ros_depthnet.heap import use_one_arena
from ros_depthnet.ros.managed import ManagedNode
from ros_depthnet.ros.transport import enlarge_shared_memory


def run(create_node: Callable[[], ManagedNode], args: list[str] | None = None) -> NoReturn:
    """Run a node; see `run_all`."""
    run_all(lambda: [create_node()], args)


def run_all(create_nodes: Callable[[], Sequence[ManagedNode]], args: list[str] | None = None) -> NoReturn:
    """
    Run nodes until a signal or until one sets its `exit_code`, and end the process; its status is 0 after a signal.

    rclpy's own handling of SIGTERM hangs now and then, so the signals only set an event here.
    """
    status = _status_of(create_nodes, args)
    sys.stdout.flush()
    sys.stderr.flush()
    # All that must be closed is. Python would take itself apart too: .4 s of a processor, many where others use it.
    os._exit(status)


def _status_of(create_nodes: Callable[[], Sequence[ManagedNode]], args: list[str] | None) -> int:
    stop = threading.Event()
    _on_signals(lambda *_: stop.set())
    use_one_arena()
    enlarge_shared_memory()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    executor = Executor()
    nodes: Sequence[ManagedNode] = []
    logger = logging.getLogger('ros_depthnet')
    logger.setLevel(logging.INFO)
    try:
        nodes = create_nodes()
        logger.addHandler(_RosHandler(nodes[-1].get_logger()))
        for node in nodes:
            executor.add_node(node)
            node.start()
        while not stop.is_set() and all(node.exit_code is None for node in nodes):
            executor.spin_once(timeout_sec=0.2)
        return max(node.exit_code or 0 for node in nodes)
    except ExternalShutdownException:
        return 0
    except (ValueError, ParameterException) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        for node in nodes:
            node.close()
        executor.shutdown()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
        _on_signals(signal.SIG_IGN)  # `ros2 launch` repeats Ctrl-C's signal


try:  # from Jazzy on: waits in C++ and costs a quarter, where 50 poses a second are most of what a node hears
    from rclpy.experimental import EventsExecutor as Executor
except ImportError:
    from rclpy.executors import SingleThreadedExecutor as Executor


def _on_signals(handler: Callable | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


class _RosHandler(logging.Handler):
    """Passes on what rooms without ROS log, such as falling back to the CPU."""

    def __init__(self, logger: RcutilsLogger):
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        # One call each, as rclpy holds the severity of a place in the source for fixed.
        if record.levelno >= logging.ERROR:
            self._logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._logger.warning(record.getMessage())
        else:
            self._logger.info(record.getMessage())

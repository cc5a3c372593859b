"""The worker: every job is worked on once or given back, whoever offers."""

import sys
import threading

from ros_depthnet.ros.worker import Worker


def test_each_job_is_either_worked_on_or_handed_back_by_whoever_replaced_it():
    done, replaced, before = [], [], sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        worker = Worker(done.append)

        def offer(start):
            for number in range(start, start + 3000):
                older = worker.offer(number)
                if older is not None:
                    replaced.append(older)

        threads = [threading.Thread(target=offer, args=(10_000 * k + 1,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(1000):
            if len(done) + len(replaced) == 4 * 3000:
                break
            threading.Event().wait(0.005)
        worker.stop()
    finally:
        sys.setswitchinterval(before)
    assert sorted(done + replaced) == [10_000 * k + 1 + i for k in range(4) for i in range(3000)]


def test_a_worker_finishes_what_it_has_begun_and_nothing_after():
    begun, go_on, done = threading.Event(), threading.Event(), []

    def work(job):
        begun.set()
        go_on.wait(5)
        done.append(job)

    worker = Worker(work)
    worker.offer('first')
    begun.wait(5)
    worker.offer('second')
    threading.Timer(0.05, go_on.set).start()
    assert worker.stop() == 'second'
    assert done == ['first']


def test_a_worker_that_has_settled_goes_on_with_what_is_offered_next():
    done, finished = [], threading.Event()

    def work(job):
        done.append(job)
        finished.set()

    worker = Worker(work)
    assert worker.settle() is None
    worker.offer('first')
    finished.wait(5)
    assert worker.settle() is None and done == ['first']
    worker.stop()

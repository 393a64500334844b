"""The state machine alone: scripted lives, and random sequences of events with the invariants checked after every step."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kogia.cri import types as t
from kogia.kubelet import pod_events as ev
from kogia.kubelet.pod_state import PodState

NOW = 1_800_000_000.0
ORDER = {"Pending": 0, "Running": 1, "Succeeded": 2, "Failed": 2}


def make_pod(policy="Always", inits=(), apps=("a",), **metadata):
    return {
        "metadata": {"name": "p", "namespace": "default", "uid": "u", "generation": 1, **metadata},
        "spec": {
            "restartPolicy": policy,
            "initContainers": [dict({"name": n, "image": "i"}, **({"restartPolicy": "Always"} if n.startswith("side") else {})) for n in inits],
            "containers": [{"name": n, "image": "i"} for n in apps],
        },
        "status": {"phase": "Pending"},
    }


class World:
    """Answers instructions as a perfect runtime would; keeps the books that the invariants are checked against."""

    def __init__(self, pod, host_ips=("10.0.0.1",)):
        self.state = PodState(pod, host_ips)
        self.now = NOW
        self.ids = itertools.count(1)
        self.todo = []  #: long instructions not answered yet
        self.containers = {}  #: id → status
        self.homes = {}
        self.sandbox = None
        self.phases = []
        self.statuses = []
        self.events = []
        self.finished = self.forgotten = False
        self.cleaned = False

    def send(self, event):
        out = self.state.handle(event, self.now)
        for do in out:
            self.take(do)
        self.check()
        return out

    def take(self, do):
        assert not self.forgotten, f"{do} after DoForget"
        match do:
            case ev.DoWriteStatus(status, _):
                self.statuses.append(status)
                if self.phases and status["phase"] != self.phases[-1]:
                    assert ORDER[status["phase"]] > ORDER[self.phases[-1]], (self.phases, status["phase"])
                self.phases.append(status["phase"])
            case ev.DoEmitEvent():
                self.events.append((do.reason, do.message))
            case ev.DoFinishDeletion():
                assert self.cleaned and not self.finished
                assert not self.running()
                self.finished = True
            case ev.DoForget():
                assert self.cleaned
                self.forgotten = True
            case ev.DoSetTimer():
                assert do.at > self.now - 1
            case ev.DoProbe():
                pass
            case _:
                if not isinstance(do, ev.DoStopContainer):
                    same = [d for d in self.todo if type(d) is type(do) and getattr(d, "container", "") == getattr(do, "container", "")]
                    assert not same or isinstance(do, ev.DoRemoveContainer | ev.DoRemoveSandbox), f"{do} given twice"
                self.todo.append(do)

    def running(self):
        return [c for c in self.containers.values() if c.state == t.ContainerState.CONTAINER_RUNNING]

    def check(self):
        names = [c.metadata.name for c in self.running()]
        assert len(names) == len(set(names)), "two attempts of one container run"
        assert sum(isinstance(d, ev.DoStartContainer) for d in self.todo) <= 1
        if self.statuses:
            status = self.statuses[-1]
            ready = {c["type"]: c["status"] for c in status["conditions"]}
            all_ready = all(c["ready"] for c in status["containerStatuses"])
            assert (ready["ContainersReady"] == "True") == (all_ready and status["phase"] == "Running")
            for entry in status["containerStatuses"]:
                assert len(entry["state"]) == 1

    def answer(self, do, ok=True, exits=None):
        self.todo.remove(do)
        match do:
            case ev.DoMountVolumes():
                self.send(ev.VolumesReady() if ok else ev.VolumesFailed("no such thing"))
            case ev.DoRunSandbox():
                if do.stop:
                    self.kill_all()
                if ok:
                    self.sandbox = t.PodSandboxStatus(
                        id=f"s{next(self.ids)}", metadata=t.PodSandboxMetadata(attempt=do.attempt), created_at=int(self.now * 1e9),
                        network=t.PodSandboxNetworkStatus(ip="10.1.0.1"),
                    )
                    self.send(ev.SandboxStarted(self.sandbox))
                else:
                    self.send(ev.SandboxFailed("broken"))
            case ev.DoEnsureImage(name):
                self.send(ev.ImageReady(name, "img") if ok else ev.ImageFailed(name, "ErrImagePull", "not found"))
            case ev.DoStartContainer(name):
                if not ok or self.sandbox is None or self.sandbox.id != do.sandbox_id:
                    self.send(ev.ContainerFailed(name, "CreateContainerError", "broken"))
                else:
                    status = t.ContainerStatus(
                        id=f"c{next(self.ids)}", metadata=t.ContainerMetadata(name=name, attempt=do.attempt),
                        state=t.ContainerState.CONTAINER_RUNNING, started_at=int(self.now * 1e9),
                    )
                    self.containers[status.id] = status
                    self.homes[status.id] = do.sandbox_id
                    self.send(ev.ContainerStarted(name, do.sandbox_id, status))
            case ev.DoStopContainer():
                self.exit(do.container_id, 143)
            case ev.DoWindDown():
                self.kill_all()
                self.sandbox = None
                self.send(ev.WoundDown())
            case ev.DoCleanUp():
                self.kill_all()
                self.containers.clear()
                self.sandbox = None
                self.cleaned = True
                self.send(ev.CleanedUp())

    def exit(self, container_id, code):
        status = self.containers.get(container_id)
        if status is None or status.state != t.ContainerState.CONTAINER_RUNNING:
            return
        ended = t.ContainerStatus(
            id=status.id, metadata=status.metadata, state=t.ContainerState.CONTAINER_EXITED, started_at=status.started_at,
            finished_at=int(self.now * 1e9), exit_code=code, reason="Completed" if code == 0 else "Error",
        )
        self.containers[container_id] = ended
        self.send(ev.ContainerExited(ended))

    def kill_all(self):
        for status in list(self.running()):
            self.exit(status.id, 137)

    def settle(self, limit=200):
        """Answer everything well until nothing is left to do."""
        for _ in range(limit):
            if not self.todo:
                return
            self.answer(self.todo[0])
        raise AssertionError("never settles")

    def begin(self):
        self.send(ev.RuntimeListed([], []))
        self.settle()
        return self

    def of(self, name):
        return next(c for c in self.running() if c.metadata.name == name)


def test_nothing_is_decided_before_the_runtime_is_listed():
    world = World(make_pod())
    assert world.send(ev.PodUpdated(make_pod())) == []


def test_the_first_instructions_go_out_together():
    world = World(make_pod())
    out = world.send(ev.RuntimeListed([], []))
    assert [type(d).__name__ for d in out if not isinstance(d, ev.DoWriteStatus)] == ["DoMountVolumes", "DoRunSandbox", "DoEnsureImage"]


@pytest.mark.parametrize("policy,code,phase", [("Never", 0, "Succeeded"), ("Never", 1, "Failed"), ("OnFailure", 0, "Succeeded"), ("OnFailure", 1, "Running"), ("Always", 0, "Running")])
def test_phases_by_restart_policy(policy, code, phase):
    world = World(make_pod(policy)).begin()
    assert world.phases[-1] == "Running"
    world.exit(world.of("a").id, code)
    world.settle()
    assert world.phases[-1] == phase


def test_crash_back_off_doubles_to_five_minutes_and_resets_after_ten():
    world = World(make_pod()).begin()
    waits = []
    for _ in range(8):
        world.now += 1
        world.exit(world.of("a").id, 1)
        began = world.now
        while not world.running():
            world.now += 0.5
            world.send(ev.TimerFired())
            world.settle()
        waits.append(round(world.now - began))
    assert waits[0] <= 1 and waits[1:] == [10, 20, 40, 80, 160, 300, 300]
    assert world.statuses[-1]["containerStatuses"][0]["restartCount"] == 8
    world.now += 601
    world.exit(world.of("a").id, 1)
    world.now += 1
    world.send(ev.TimerFired())
    world.settle()
    assert world.running()


def test_a_pull_that_fails_backs_off_and_recovers():
    world = World(make_pod())
    world.send(ev.RuntimeListed([], []))
    world.answer(next(d for d in world.todo if isinstance(d, ev.DoEnsureImage)), ok=False)
    world.settle()
    assert world.statuses[-1]["containerStatuses"][0]["state"]["waiting"] == {"reason": "ErrImagePull", "message": "not found"}
    world.now += 3
    world.send(ev.TimerFired())
    waiting = world.statuses[-1]["containerStatuses"][0]["state"]["waiting"]
    assert waiting == {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "i": ErrImagePull: not found'}
    world.now += 11
    world.send(ev.TimerFired())
    world.settle()
    assert world.phases[-1] == "Running"


def test_init_containers_and_sidecars_in_order():
    world = World(make_pod(inits=("one", "side", "two")))
    world.send(ev.RuntimeListed([], []))
    world.settle()
    assert [c.metadata.name for c in world.running()] == ["one"]
    assert world.statuses[-1]["phase"] == "Pending"
    initialized = next(c for c in world.statuses[-1]["conditions"] if c["type"] == "Initialized")
    assert (initialized["reason"], initialized["message"]) == ("ContainersNotInitialized", "containers with incomplete status: [one side two]")
    world.exit(world.of("one").id, 0)
    world.settle()
    assert {c.metadata.name for c in world.running()} == {"side", "two"}
    world.exit(world.of("two").id, 0)
    world.settle()
    assert {c.metadata.name for c in world.running()} == {"side", "a"} and world.phases[-1] == "Running"
    world.send(ev.PodUpdated(make_pod(inits=("one", "side", "two"), deletionTimestamp="2027-01-15T08:00:00Z", deletionGracePeriodSeconds=5)))
    stops = [d.container for d in world.todo if isinstance(d, ev.DoStopContainer)]
    assert stops == ["a"], "sidecars end after the others"
    world.settle()
    assert world.finished


def test_a_failed_init_container_fails_a_never_pod():
    world = World(make_pod("Never", inits=("one",))).begin()
    world.exit(world.of("one").id, 1)
    world.settle()
    assert world.phases[-1] == "Failed" and not world.running()


def test_deletion_and_a_shorter_grace_later():
    world = World(make_pod()).begin()
    world.send(ev.PodUpdated(make_pod(deletionTimestamp="x", deletionGracePeriodSeconds=30)))
    assert [d.grace_s for d in world.todo] == [30.0]
    world.send(ev.PodUpdated(make_pod(deletionTimestamp="x", deletionGracePeriodSeconds=1)))
    assert [d.grace_s for d in world.todo] == [30.0, 1.0]
    world.settle()
    assert world.finished and world.statuses[-1]["phase"] == "Failed"
    world.send(ev.PodDeleted())
    assert world.forgotten


def test_a_new_image_restarts_the_container_whatever_the_policy():
    world = World(make_pod("Never"))
    world.send(ev.RuntimeListed([], []))
    world.settle()
    from kogia.kubelet.container_record import HASH

    world.state.records["a"].current.annotations[HASH] = "of-the-old-image"
    world.send(ev.PodUpdated(make_pod("Never")))
    (stop,) = world.todo
    assert stop.message == "Container a definition changed, will be restarted"
    world.settle()
    world.now += 1
    world.send(ev.TimerFired())
    world.settle()
    assert world.running() and world.phases[-1] == "Running"


def test_active_deadline_ends_the_pod():
    pod = make_pod()
    pod["spec"]["activeDeadlineSeconds"] = 5
    world = World(pod).begin()
    world.now += 6
    world.send(ev.TimerFired())
    world.settle()
    assert (world.statuses[-1]["phase"], world.statuses[-1]["reason"]) == ("Failed", "DeadlineExceeded")


def test_readiness_follows_its_probe():
    pod = make_pod()
    pod["spec"]["containers"][0]["readinessProbe"] = {"exec": {"command": ["x"]}}
    world = World(pod).begin()
    ready = lambda: next(c["status"] for c in world.statuses[-1]["conditions"] if c["type"] == "Ready")  # noqa: E731
    assert ready() == "False" and world.phases[-1] == "Running"
    world.send(ev.ProbeResult("a", world.of("a").id, "readiness", True))
    assert ready() == "True"
    world.send(ev.ProbeResult("a", "another", "readiness", False))
    assert ready() == "True"


def api_status(state, **more):
    entry = {"name": "a", "containerID": "kogia://c9", "restartCount": 2, "imageID": "i", "lastState": {}, "state": state, **more}
    return {"phase": "Running", "startTime": "2027-01-01T00:00:00Z", "containerStatuses": [entry]}


def test_after_a_reboot_a_never_pod_is_not_run_a_second_time():
    pod = {**make_pod("Never"), "status": api_status({"running": {"startedAt": "2027-01-01T00:00:01Z"}})}
    world = World(pod).begin()
    assert not world.running() and world.phases == ["Failed"]
    ended = world.statuses[-1]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")


def test_after_a_reboot_an_always_pod_runs_again_and_counts():
    pod = {**make_pod(), "status": api_status({"running": {"startedAt": "2027-01-01T00:00:01Z"}})}
    world = World(pod).begin()
    assert world.running()
    assert world.statuses[-1]["containerStatuses"][0]["restartCount"] == 3
    assert world.statuses[-1]["containerStatuses"][0]["lastState"]["terminated"]["containerID"] == "kogia://c9"


def test_a_completed_pod_keeps_its_status_without_its_containers():
    done = {"exitCode": 0, "reason": "Completed", "startedAt": "2027-01-01T00:00:01Z", "finishedAt": "2027-01-01T00:00:02Z", "containerID": "kogia://c9"}
    pod = {**make_pod("Never"), "status": {**api_status({"terminated": done}), "phase": "Succeeded"}}
    world = World(pod).begin()
    assert world.statuses[-1]["phase"] == "Succeeded" and not world.running()
    assert world.statuses[-1]["containerStatuses"][0]["state"]["terminated"] == done


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_any_life_keeps_the_invariants_and_ends_clean(data):
    policy = data.draw(st.sampled_from(["Always", "OnFailure", "Never"]))
    inits = data.draw(st.sampled_from([(), ("one",), ("side",), ("one", "side")]))
    apps = data.draw(st.sampled_from([("a",), ("a", "b")]))
    world = World(make_pod(policy, inits, apps))
    world.send(ev.RuntimeListed([], []))
    for _ in range(data.draw(st.integers(0, 25))):
        step = data.draw(st.sampled_from(["good", "good", "good", "bad", "exit", "timer", "lose", "remove", "relist"]))
        world.now += data.draw(st.sampled_from([0.01, 0.5, 12.0, 700.0]))
        long = list(world.todo)
        if step in ("good", "bad") and long:
            world.answer(data.draw(st.sampled_from(long)), ok=step == "good")
        elif step == "exit" and world.running():
            world.exit(data.draw(st.sampled_from(world.running())).id, data.draw(st.sampled_from([0, 1])))
        elif step == "timer":
            world.send(ev.TimerFired())
        elif step == "lose" and world.sandbox is not None:
            gone, world.sandbox = world.sandbox, None
            world.kill_all()
            world.send(ev.SandboxGone(gone.id, removed=data.draw(st.booleans())))
        elif step == "remove" and world.running():
            victim = data.draw(st.sampled_from(world.running()))
            del world.containers[victim.id]
            world.send(ev.ContainerRemoved(victim.id))
        elif step == "relist" and not any(isinstance(d, ev.DoStartContainer | ev.DoRunSandbox) for d in world.todo):
            found = [ev.FoundContainer(c, world.homes[c.id]) for c in world.containers.values()]
            world.send(ev.RuntimeListed([world.sandbox] if world.sandbox else [], found))
    world.send(ev.PodUpdated(make_pod(policy, inits, apps, deletionTimestamp="x", deletionGracePeriodSeconds=1)))
    world.settle()
    assert world.finished and not world.running()
    world.send(ev.PodDeleted())
    assert world.forgotten

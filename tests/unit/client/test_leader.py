import asyncio

from kogia.base.clock import FakeClock
from kogia.client.fake import FakeApi
from kogia.client.leader import LeaderConfig, LeaderElector


def elector(api, clock, identity, journal, **more):
    async def started():
        journal.append(f"+{identity}")

    async def stopped():
        journal.append(f"-{identity}")

    return LeaderElector(api.client(), LeaderConfig("lock", identity, **more), started, stopped, clock)


def test_one_leads_and_the_other_takes_over_when_it_is_released():
    async def main():
        clock, journal = FakeClock(), []
        api = FakeApi(clock)
        a, b = elector(api, clock, "a", journal), elector(api, clock, "b", journal)
        a.start()
        await clock.advance(1)
        b.start()
        await clock.advance(60)
        assert journal == ["+a"]
        await a.close()
        await clock.advance(5)
        assert journal == ["+a", "-a", "+b"]
        (lease,) = api.all("leases", "coordination.k8s.io")
        assert lease["spec"]["holderIdentity"] == "b" and lease["spec"]["leaseTransitions"] == 1
        await b.close()

    asyncio.run(main())


def test_a_dead_leader_is_followed_after_its_lease():
    async def main():
        clock, journal = FakeClock(), []
        api = FakeApi(clock)
        a, b = elector(api, clock, "a", journal, release_on_close=False), elector(api, clock, "b", journal)
        a.start()
        await clock.advance(1)
        b.start()
        await clock.advance(3)
        await a.close()
        await clock.advance(10)
        assert "+b" not in journal
        await clock.advance(10)
        assert journal[-1] == "+b"
        await b.close()

    asyncio.run(main())


def test_a_leader_cut_off_steps_down_before_others_may_lead():
    async def main():
        clock, journal = FakeClock(), []
        api = FakeApi(clock)
        a = elector(api, clock, "a", journal)
        a.start()
        await clock.advance(1)
        api.faults.append(lambda request: ConnectionRefusedError("cut"))
        await clock.advance(13)
        assert journal == ["+a", "-a"]
        await a.close()

    asyncio.run(main())

from kogia.controllers.context import CONFIG_MAPS, SERVICE_ACCOUNTS


def test_every_namespace_gets_its_objects_and_gets_them_back(world):
    async def body(w):
        w.namespace("a")
        await w.until(lambda: w.get("serviceaccounts", "default", "a") and w.get("configmaps", "kube-root-ca.crt", "a"))
        bundle = w.get("configmaps", "kube-root-ca.crt", "a")
        assert bundle["data"] == {"ca.crt": "PEM"}
        assert bundle["metadata"]["annotations"]["kubernetes.io/description"].startswith("Contains a CA bundle")
        uid = w.get("serviceaccounts", "default", "a")["metadata"]["uid"]
        await w.client.delete(SERVICE_ACCOUNTS, "default", "a")
        await w.until(lambda: (w.get("serviceaccounts", "default", "a") or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid)
        await w.client.patch(CONFIG_MAPS, "kube-root-ca.crt", {"data": {"ca.crt": "forged", "more": "x"}}, "a")
        await w.until(lambda: w.get("configmaps", "kube-root-ca.crt", "a")["data"] == {"ca.crt": "PEM"})

    world(body)


def test_nothing_is_made_in_a_namespace_that_goes(world):
    async def body(w):
        w.namespace("a", deletionTimestamp="2023-11-14T22:13:20Z", finalizers=["x.io/hold"])
        for _ in range(200):
            await w.clock.sleep(0)
        assert w.get("serviceaccounts", "default", "a") is None

    world(body)


def test_idle_controllers_ask_nothing(world):
    async def body(w):
        w.namespace("a")
        await w.until(lambda: w.get("serviceaccounts", "default", "a") and w.get("configmaps", "kube-root-ca.crt", "a"))
        await w.clock.advance(1)
        before = len(w.api.log)
        await w.clock.advance(3600)
        assert w.api.log[before:] == []

    world(body)

import asyncio

from kogia.api.status import not_found, status_error
from kogia.base.clock import FakeClock
from kogia.client.fake import FakeApi
from kogia.client.inproc import InProcTransport
from kogia.client.interface import Resource
from kogia.client.rest import RestClient
from kogia.client.service_account import service_account_clients
from kogia.wire.messages import Request, Response, UserInfo

CONFIG_MAPS = Resource("", "v1", "configmaps")


class Tokens(FakeApi):
    """Issues numbered tokens and admits only the newest."""

    def __init__(self) -> None:
        super().__init__()
        self.issued = 0
        self.valid = ""

    async def __call__(self, request: Request) -> Response:
        if request.path.endswith("/token"):
            if not self.all("serviceaccounts"):
                error = not_found("serviceaccounts", "gc")
                return Response(404, body=_json(error.status))
            self.issued += 1
            self.valid = f"t{self.issued}"
            return Response(201, body=_json({"status": {"token": self.valid}}))
        bearer = request.headers.get("authorization")
        if bearer is not None and bearer != f"Bearer {self.valid}":
            return Response(401, body=_json(status_error(401, "Unauthorized", "Unauthorized").status))
        return await super().__call__(request)


def _json(value):
    import orjson

    return orjson.dumps(value)


def test_tokens_are_requested_reused_renewed_and_replaced():
    async def main():
        clock, api = FakeClock(), Tokens()
        transport = InProcTransport(api, UserInfo("nobody"))
        issuer = RestClient(InProcTransport(api, UserInfo("manager")))
        client = service_account_clients(transport, issuer, clock=clock)("gc")
        await asyncio.gather(*(client.list(CONFIG_MAPS) for _ in range(5)))
        assert api.issued == 1
        assert api.all("serviceaccounts")[0]["metadata"]["name"] == "gc"
        await clock.advance(3000)
        await client.list(CONFIG_MAPS)
        assert api.issued == 2
        api.valid = "revoked"
        await client.list(CONFIG_MAPS)
        assert api.issued == 3

    asyncio.run(main())

from kogia.api import resources
from kogia.apiserver.admission.certificates import record_requester
from kogia.apiserver.interface import AdmissionAttributes
from kogia.wire.messages import UserInfo

CSR = resources.find("certificates.k8s.io", "v1", "certificatesigningrequests")
assert CSR is not None


def test_nobody_asks_in_anothers_name() -> None:
    assert CSR is not None
    body = {"spec": {"username": "system:admin", "groups": ["system:masters"], "uid": "1", "extra": {"a": ["b"]}, "request": "YQ=="}}
    user = UserInfo("eve", groups=("system:authenticated",))
    record_requester(AdmissionAttributes("CREATE", CSR, "", "", "x", user, body, None))
    assert body["spec"] == {"request": "YQ==", "username": "eve", "groups": ["system:authenticated"]}

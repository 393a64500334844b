"""`kubectl --as`: acting as somebody else, if one may. Source: k8s.io/apiserver endpoints/filters impersonation."""

from __future__ import annotations

from urllib.parse import unquote

from kogia.api.status import bad_request
from kogia.apiserver.auth.attributes import Attributes, Authorizer, forbidden_error
from kogia.wire.messages import Request, UserInfo

_SERVICE_ACCOUNT = "system:serviceaccount:"
_EXTRA = "impersonate-extra-"


def impersonated(request: Request, user: UserInfo, authorizer: Authorizer) -> UserInfo:
    """The user to go on as; `user` itself without impersonation headers. Errors: StatusError 400, 403."""
    headers = request.headers
    name = headers.get("impersonate-user", "")
    groups = [g.strip() for g in headers.get("impersonate-group", "").split(",") if g.strip()]
    uid = headers.get("impersonate-uid", "")
    extras = {unquote(k[len(_EXTRA) :]): tuple(v.split(", ")) for k, v in headers.items() if k.startswith(_EXTRA)}
    if not name:
        if groups or uid or extras:
            raise bad_request("requested impersonation without impersonating a user")
        return user
    wanted = []
    if name.startswith(_SERVICE_ACCOUNT) and name.count(":") == 3:
        namespace, _, account = name[len(_SERVICE_ACCOUNT) :].partition(":")
        wanted.append(Attributes(user, "impersonate", resource="serviceaccounts", version="v1", namespace=namespace, name=account))
        if not groups:
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    else:
        wanted.append(Attributes(user, "impersonate", resource="users", version="v1", name=name))
    asked_groups = [g.strip() for g in headers.get("impersonate-group", "").split(",") if g.strip()]
    wanted += [Attributes(user, "impersonate", resource="groups", version="v1", name=g) for g in asked_groups]
    group = "authentication.k8s.io"
    if uid:
        wanted.append(Attributes(user, "impersonate", group=group, version="v1", resource="uids", name=uid))
    for key, values in extras.items():
        wanted += [Attributes(user, "impersonate", group=group, version="v1", resource="userextras", subresource=key, name=v) for v in values]
    for attributes in wanted:
        verdict = authorizer.authorize(attributes)
        if not verdict.allowed:
            raise forbidden_error(attributes, verdict.reason)
    if name != "system:anonymous" and "system:authenticated" not in groups and "system:unauthenticated" not in groups:
        groups.append("system:authenticated")
    elif name == "system:anonymous" and not groups:
        groups.append("system:unauthenticated")
    return UserInfo(name, uid, tuple(groups), extras)

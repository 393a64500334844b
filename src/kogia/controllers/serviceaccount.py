"""service-account-controller: every namespace has a service account `default`. Source: pkg/controller/serviceaccount."""

from __future__ import annotations

from kogia.client.controller import Controller
from kogia.client.interface import Obj
from kogia.controllers.context import SERVICE_ACCOUNTS, ControllerContext
from kogia.controllers.default_objects import DefaultObject, default_object_controller


def _make(namespace: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}


def service_account_controller(context: ControllerContext) -> Controller:
    return default_object_controller(context, DefaultObject("service-account-controller", SERVICE_ACCOUNTS, "default", _make))

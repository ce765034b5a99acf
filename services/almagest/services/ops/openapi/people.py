"""Accounts and keys, described: for people about themselves, and for admins."""

from __future__ import annotations

from collections.abc import Mapping

from almagest.services.ops.openapi.operations import Answer, Operation, Parameter, Schema, ref
from almagest.services.ops.openapi.schemas import MOMENT, STRING, WHOLE, many, nullable, of

_ACCOUNTS, _ADMIN = "Accounts", "Administration"
_DONE = Answer("It is done.")
_TOKENS = Answer("What to come with from now on.", ref("Tokens"))
_KEY = Answer("The key, shown this once.", ref("NewKey"))
_CREDENTIALS = {"name": "ada@example.org", "password": "a few words make a good one"}

SCHEMAS: Mapping[str, Schema] = {
    "Account": of(
        {
            "id": STRING,
            "name": STRING,
            "role": STRING,
            "tier": STRING,
            "scopes": many(STRING),
            "own_tier": nullable(STRING),
            "own_scopes": many(STRING),
            "provider": nullable(STRING),
            "created": MOMENT,
            "last_login": nullable(MOMENT),
            "disabled": nullable(MOMENT),
        }
    ),
    "AccountChange": of(
        {},
        {
            "role": STRING,
            "tier": {**nullable(STRING), "description": "Its own; null: that of its role."},
            "scopes": {**many(STRING), "description": "Beside those of its role."},
            "disabled": {"type": "boolean"},
            "password": STRING,
        },
    ),
    "Accounts": of({"accounts": many(ref("Account")), "links": many(ref("Link"))}),
    "Credentials": of({"name": STRING, "password": STRING}),
    "Key": of(
        {
            "id": STRING,
            "name": STRING,
            "owner": nullable(STRING),
            "scopes": many(STRING),
            "addresses": many(STRING),
            "created": MOMENT,
            "expires": nullable(MOMENT),
            "revoked": nullable(MOMENT),
            "last_used": nullable(MOMENT),
            "active": {"type": "boolean"},
        }
    ),
    "KeyRequest": of(
        {"name": STRING, "scopes": {**many(STRING), "minItems": 1}},
        {
            "expires": MOMENT,
            "days": {"type": "number", "description": "How long it holds, where `expires` is not said."},
            "addresses": {**many(STRING), "description": "Networks that it may be used from; none: from anywhere."},
        },
    ),
    "Keys": of({"keys": many(ref("Key"))}),
    "Login": of(
        {
            "kind": STRING,
            "since": MOMENT,
            "last_used": MOMENT,
            "expires": MOMENT,
            "address": nullable(STRING),
            "agent": nullable(STRING),
            "is_this": {"type": "boolean"},
        }
    ),
    "Me": {
        "allOf": [ref("Account"), of({"quotas": ref("Quotas"), "logins": many(ref("Login"))})],
    },
    "NewAccount": of({"name": STRING, "password": STRING}, {"role": STRING}),
    "NewKey": {"allOf": [ref("Key"), of({"key": STRING})]},
    "PublicKeys": {
        **of({"keys": many({"type": "object"})}),
        "description": "A JWK Set (RFC 7517) of the keys that check our access tokens (RFC 9068).",
    },
    "Quotas": {
        "type": "object",
        "description": "By class. What is not named is not limited.",
        "additionalProperties": of({"most": WHOLE, "per_s": nullable(WHOLE)}),
    },
    "Tiers": of(
        {
            "roles": {"type": "object", "additionalProperties": of({"scopes": many(STRING), "tier": STRING})},
            "tiers": {"type": "object", "additionalProperties": ref("Quotas")},
        }
    ),
    "Tokens": {
        **of(
            {
                "access_token": STRING,
                "token_type": STRING,
                "expires_in": WHOLE,
                "refresh_token": STRING,
                "scope": STRING,
            }
        ),
        "description": "As OAuth 2.0 answers (RFC 6749). A refresh token is good once; one that was used before ends "
        "its login.",
    },
}


def _sent(**members: Schema) -> Schema:
    return of(members)


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/auth/jwks.json"): Operation(
        "publicKeys", "What checks access tokens", _ACCOUNTS, {200: Answer("Public keys.", ref("PublicKeys"))}
    ),
    ("POST", "/auth/register"): Operation(
        "register",
        "Make an account for oneself",
        _ACCOUNTS,
        {201: Answer("It is made.", ref("Account"), headers={"Location": "What is told of it."})},
        problems=(400, 403, 409),
        body=ref("Credentials"),
        example=_CREDENTIALS,
    ),
    ("POST", "/auth/login"): Operation(
        "login", "Log in", _ACCOUNTS, {200: _TOKENS}, (400, 401), body=ref("Credentials"), example=_CREDENTIALS
    ),
    ("POST", "/auth/refresh"): Operation(
        "refresh", "Stay logged in", _ACCOUNTS, {200: _TOKENS}, (400, 401), body=_sent(refresh_token=STRING)
    ),
    ("POST", "/auth/logout"): Operation(
        "logout",
        "Log out, here or everywhere",
        _ACCOUNTS,
        {204: _DONE},
        (400, 404),
        body=of({}, {"everywhere": {"type": "boolean", "default": False}}),
    ),
    ("PUT", "/auth/password"): Operation(
        "changePassword",
        "Change the password, which ends all logins",
        _ACCOUNTS,
        {204: _DONE},
        (400, 404),
        body=_sent(current=STRING, new=STRING),
    ),
    ("GET", "/auth/me"): Operation(
        "me", "Who one is, and what one may", _ACCOUNTS, {200: Answer("One's account.", ref("Me"))}, (404,)
    ),
    ("GET", "/auth/keys"): Operation(
        "ownKeys", "One's own keys", _ACCOUNTS, {200: Answer("All there ever were.", ref("Keys"))}, (404,)
    ),
    ("POST", "/auth/keys"): Operation(
        "makeOwnKey", "Make a key for a program", _ACCOUNTS, {201: _KEY}, (400, 404), body=ref("KeyRequest")
    ),
    ("DELETE", "/auth/keys/{key_id}"): Operation("revokeOwnKey", "End a key", _ACCOUNTS, {204: _DONE}, problems=(404,)),
    ("GET", "/auth/callback-key"): Operation(
        "callbackKey",
        "What callbacks of one's jobs are signed with",
        _ACCOUNTS,
        {200: Answer("The key.", _sent(key=STRING))},
        description="A receiver computes the HMAC-SHA256 of a callback's body by it, and compares it with the header "
        "`X-Almagest-Signature: sha256=…`.",
    ),
    ("GET", "/admin/accounts"): Operation(
        "accounts",
        "Everybody",
        _ADMIN,
        {200: Answer("In the order of their names.", ref("Accounts"))},
        problems=(400,),
        parameters=(
            Parameter("limit", "So many at most.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
            Parameter("after", "Only those behind this name.", STRING),
            Parameter("q", "Only those whose names hold this.", STRING),
        ),
    ),
    ("POST", "/admin/accounts"): Operation(
        "makeAccount",
        "Make an account for somebody",
        _ADMIN,
        {201: Answer("It is made.", ref("Account"), headers={"Location": "Address of it."})},
        (400, 409),
        body=ref("NewAccount"),
    ),
    ("GET", "/admin/accounts/{name}"): Operation(
        "account",
        "Somebody, with his keys",
        _ADMIN,
        {200: Answer("The account.", {"allOf": [ref("Account"), ref("Keys")]})},
        problems=(404,),
    ),
    ("PATCH", "/admin/accounts/{name}"): Operation(
        "changeAccount",
        "Change what somebody may",
        _ADMIN,
        {200: Answer("As it is now.", ref("Account"))},
        problems=(400, 404, 409),
        body=ref("AccountChange"),
        description="What is not named stays as it is. It holds from the next request on.",
    ),
    ("POST", "/admin/accounts/{name}/logout"): Operation(
        "logSomebodyOut", "End all logins of somebody", _ADMIN, {204: _DONE}, problems=(404,)
    ),
    ("GET", "/admin/keys"): Operation("keys", "Every key", _ADMIN, {200: Answer("All there ever were.", ref("Keys"))}),
    ("POST", "/admin/keys"): Operation(
        "makeKey", "Make a key that belongs to nobody", _ADMIN, {201: _KEY}, (400,), body=ref("KeyRequest")
    ),
    ("DELETE", "/admin/keys/{key_id}"): Operation("revokeKey", "End any key", _ADMIN, {204: _DONE}, problems=(404,)),
    ("GET", "/admin/tiers"): Operation(
        "tiers", "Roles and tiers", _ADMIN, {200: Answer("What they may, and how much.", ref("Tiers"))}
    ),
    ("POST", "/admin/clean-up"): Operation(
        "cleanUp",
        "Remove jobs that ended long ago",
        _ADMIN,
        {200: Answer("How many were removed.", of({"jobs": WHOLE}))},
        (400,),
        body=of({}, {"days": {"type": "number", "minimum": 0, "maximum": 3650, "default": 30}}),
    ),
}

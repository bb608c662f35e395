"""The API's own description. (pure)"""

from __future__ import annotations

from typing import Any

from broadcaster.aggregate import Function
from broadcaster.errors import CODES
from cdc import VERSION


def openapi(project: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document of the streams, for this project."""
    stream = {
        "200": {
            "description": "A stream of events: initial, ready, diff, progress, reset, error.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        "default": {
            "description": "Refused.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
        },
    }
    common = [
        _parameter("cursor", "query", "Where to resume: the last `id` received."),
        _parameter("Last-Event-ID", "header", "The same, as EventSource sends it."),
        _parameter("coalesce", "query", "`true`: changes are merged by row while the reader is behind."),
        _parameter("ticket", "query", "In the place of a token, for what can send no header."),
    ]
    base = f"/v1/api/{project}/realtime"
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Livetail: {project}", "version": VERSION},
        "paths": {
            f"{base}/{{database}}/{{collection}}": {
                "get": {
                    "summary": "One live query.",
                    "parameters": [
                        _parameter("database", "path", "The database's alias.", required=True),
                        _parameter("collection", "path", "The collection.", required=True),
                        _parameter("where", "query", "Conditions as JSON; all rows if missing."),
                        _parameter(
                            "select", "query", "Fields to send, joined by commas; the key is always sent."
                        ),
                        _parameter(
                            "sort",
                            "query",
                            "Up to 4 fields, joined by commas; `-title` for descending. The key breaks ties.",
                        ),
                        _parameter("limit", "query", "So many of the first rows, up to `initialRows`."),
                        _parameter(
                            "aggregate",
                            "query",
                            'What is made of the rows, as JSON: `{"n":{"count":true},"total":{"sum":"price"}}`.',
                        ),
                        _parameter("groupBy", "query", "One or two fields, joined by a comma."),
                        _parameter("skipInitial", "query", "`true`: changes only."),
                        _parameter("id", "query", "The live query's id in the frames; `q1` if missing."),
                        *common,
                    ],
                    "responses": stream,
                }
            },
            f"{base}/ticket": {
                "post": {
                    "summary": "A ticket for `?ticket=`, good once within 30 s, for the token in the header.",
                    "responses": {
                        "200": {
                            "description": "The ticket.",
                            "content": {
                                "application/json": {
                                    "schema": {
                                        "type": "object",
                                        "properties": {
                                            "ticket": {"type": "string"},
                                            "expiresIn": {"type": "integer", "description": "Seconds."},
                                        },
                                    }
                                }
                            },
                        },
                        "default": stream["default"],
                    },
                }
            },
            base: {
                "get": {
                    "summary": "Many live queries on one stream, for a plain EventSource.",
                    "parameters": [
                        _parameter("subscriptions", "query", "A JSON list of subscriptions.", required=True),
                        *common,
                    ],
                    "responses": stream,
                },
                "post": {
                    "summary": "Many live queries on one stream.",
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Request"}}},
                    },
                    "responses": stream,
                },
            },
        },
        "security": [{}, {"bearer": []}],
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": {
                "Subscription": {
                    "type": "object",
                    "required": ["id", "db", "col"],
                    "additionalProperties": False,
                    "properties": {
                        "id": {"type": "string"},
                        "db": {"type": "string"},
                        "col": {"type": "string"},
                        "where": {"type": "object"},
                        "options": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                "skipInitial": {"type": "boolean"},
                                "select": {"type": "array", "items": {"type": "string"}},
                                "sort": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 4,
                                    "items": {"type": "string"},
                                },
                                "limit": {"type": "integer", "minimum": 1},
                                "aggregate": {
                                    "type": "object",
                                    "minProperties": 1,
                                    "maxProperties": 10,
                                    "additionalProperties": {
                                        "type": "object",
                                        "minProperties": 1,
                                        "maxProperties": 1,
                                        "additionalProperties": False,
                                        "properties": {
                                            function: {"type": ["string", "boolean"]}
                                            if function == "count"
                                            else {"type": "string"}
                                            for function in Function
                                        },
                                    },
                                },
                                "groupBy": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 2,
                                    "items": {"type": "string"},
                                },
                            },
                        },
                    },
                },
                "Request": {
                    "type": "object",
                    "required": ["subscriptions"],
                    "additionalProperties": False,
                    "properties": {
                        "subscriptions": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"$ref": "#/components/schemas/Subscription"},
                        },
                        "cursor": {"type": "string"},
                        "coalesce": {"type": "boolean"},
                    },
                },
                "Refusal": {
                    "type": "object",
                    "properties": {
                        "error": {
                            "type": "object",
                            "required": ["code", "message", "retryable"],
                            "properties": {
                                "code": {"type": "string", "enum": sorted(CODES)},
                                "message": {"type": "string"},
                                "retryable": {"type": "boolean"},
                                "path": {"type": "string"},
                            },
                        }
                    },
                },
            },
        },
    }


def _parameter(name: str, where: str, description: str, *, required: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "description": description,
        "required": required,
        "schema": {"type": "string"},
    }

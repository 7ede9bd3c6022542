from weir_proto import plugin_pb2 as _plugin_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PluginDescription(_message.Message):
    __slots__ = ("name", "version", "description", "sdk", "class_name", "handlers")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    HANDLERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    description: str
    sdk: str
    class_name: str
    handlers: _containers.RepeatedCompositeFieldContainer[Handler]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., description: _Optional[str] = ..., sdk: _Optional[str] = ..., class_name: _Optional[str] = ..., handlers: _Optional[_Iterable[_Union[Handler, _Mapping]]] = ...) -> None: ...

class Handler(_message.Message):
    __slots__ = ("name", "threaded", "threads")
    NAME_FIELD_NUMBER: _ClassVar[int]
    THREADED_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    name: str
    threaded: bool
    threads: int
    def __init__(self, name: _Optional[str] = ..., threaded: _Optional[bool] = ..., threads: _Optional[int] = ...) -> None: ...

class BatchRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("kind", "json")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[Event.Kind]
        PROXY_LOG: _ClassVar[Event.Kind]
        ANALYTICS: _ClassVar[Event.Kind]
        BUDGET_USAGE: _ClassVar[Event.Kind]
    UNKNOWN: Event.Kind
    PROXY_LOG: Event.Kind
    ANALYTICS: Event.Kind
    BUDGET_USAGE: Event.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    kind: Event.Kind
    json: bytes
    def __init__(self, kind: _Optional[_Union[Event.Kind, str]] = ..., json: _Optional[bytes] = ...) -> None: ...

class BatchResponse(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[_plugin_pb2.DataCollectionResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[_plugin_pb2.DataCollectionResponse, _Mapping]]] = ...) -> None: ...

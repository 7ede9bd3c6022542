"""A gRPC service out of coroutine functions, by the names in its .proto file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from weir_sdk.wire.failures import Failure

Unary: TypeAlias = Callable[[Any], Awaitable[Message]]
Stream: TypeAlias = Callable[[Any], AsyncIterator[Message]]
Context: TypeAlias = "aio.ServicerContext[Any, Any]"


class FailedCallError(Exception):
    """A call that ends with an error of gRPC.

    Attributes:
        code: Name of the status code.
        details: For whoever called.
        trailers: Trailing metadata.
    """

    def __init__(self, code: str, details: str, trailers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(details)
        self.code = code
        self.details = details
        self.trailers = trailers

    @classmethod
    def from_failure(cls, failure: Failure) -> FailedCallError:
        """A handler's failure."""
        return cls(failure.code, failure.message, failure.trailers)


def service(descriptor: ServiceDescriptor, methods: Mapping[str, Unary | Stream]) -> grpc.GenericRpcHandler:
    """Serve some methods of a service; to the others the answer is UNIMPLEMENTED.

    Args:
        descriptor: The service in its generated module.
        methods: By method name, a coroutine function for an answer, or a generator function for a stream of
            them. It gets the request, or for a stream of requests their iterator.
    """
    known = descriptor.methods_by_name
    return grpc.method_handlers_generic_handler(
        descriptor.full_name, {name: _handler(known[name], method) for name, method in methods.items()}
    )


def _handler(method: MethodDescriptor, behaviour: Unary | Stream) -> grpc.RpcMethodHandler[Any, Any]:
    make: Any
    if method.client_streaming:
        make, serving = grpc.stream_stream_rpc_method_handler, _streaming(behaviour)
    elif method.server_streaming:
        make, serving = grpc.unary_stream_rpc_method_handler, _streaming(behaviour)
    else:
        make, serving = grpc.unary_unary_rpc_method_handler, _answering(behaviour)
    handler: grpc.RpcMethodHandler[Any, Any] = make(
        serving,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )
    return handler


def _answering(behaviour: Any) -> Any:
    async def answer(request: Any, context: Context) -> Message:
        try:
            message: Message = await behaviour(request)
        except FailedCallError as failed:
            await context.abort(grpc.StatusCode[failed.code], failed.details, failed.trailers)
        return message

    return answer


def _streaming(behaviour: Any) -> Any:
    async def stream(request: Any, _: Context) -> AsyncIterator[Message]:
        async for message in behaviour(request):
            yield message

    return stream

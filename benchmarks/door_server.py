"""Answer every completion at once with the same body: the far end for measuring what a client costs.

Started by door_overhead.py: python benchmarks/door_server.py. It prints its port and serves until it is ended.
"""

import asyncio
import json

CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A text.\nAnother."}}
USAGE = {"prompt_tokens": 40, "completion_tokens": 6, "total_tokens": 46}
ANSWER = {
    "id": "answer-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [CHOICE],
    "usage": USAGE,
}
LISTING = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "nobody"}]}


def response(content: object) -> bytes:
    """Write a whole HTTP answer."""
    body = json.dumps(content).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


POSTED, LISTED = response(ANSWER), response(LISTING)


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection until it closes."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            if length:
                await reader.readexactly(int(length))
            writer.write(LISTED if head.startswith(b"get") else POSTED)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve on a free loopback port."""
    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

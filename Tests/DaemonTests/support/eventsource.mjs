// Reads one stream with Node's own EventSource, until the 204 that ends it; prints one JSON array a line.
const source = new EventSource(process.argv[2]);
source.onmessage = (event) => console.log(JSON.stringify([event.lastEventId, event.data]));
source.onerror = () => {
    // Between two connections the state is CONNECTING; after a 204 it is CLOSED, and nothing keeps Node alive.
    if (source.readyState === EventSource.CLOSED) console.log("closed");
};

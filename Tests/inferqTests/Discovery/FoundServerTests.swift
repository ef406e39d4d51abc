import Testing

@testable import inferq

struct FoundServerTests {
    private func found(_ bodies: [String: String]) -> FoundServer? {
        FoundServer(PortAnswers(port: 9000, bodies: bodies.mapValues { Array($0.utf8) }))
    }

    @Test(arguments: [
        (
            [
                "/props": #"{"default_generation_settings": {}, "total_slots": 4}"#, "/": "<html>",
                "/v1/models": #"{"data": [{"id": "tiny.gguf", "owned_by": "llamacpp"}]}"#,
            ],
            """

            # llama.cpp's server at port 9000.
            [models.llama]
            url = "http://127.0.0.1:9000"
            dialect = "openai"
            health = "/health"
            concurrency = 4   # the server reports this many slots
            names = ["tiny.gguf"]

            """
        ),
        (
            [
                "/": "Ollama is running", "/api/version": #"{"version": "0.9"}"#,
                "/api/tags": #"{"models": [{"name": "qwen3:8b"}, {"name": "llava"}]}"#,
                "/v1/models": #"{"data": [{"id": "qwen3:8b", "owned_by": "library"}]}"#,
            ],
            """

            # Ollama at port 9000.
            [models.ollama]
            url = "http://127.0.0.1:9000"
            dialect = "ollama"
            health = "/api/version"
            names = ["qwen3:8b", "llava"]

            """
        ),
        (
            ["/v2": #"{"name": "mlserver", "version": "1.6", "extensions": []}"#],
            """

            # mlserver at port 9000.
            [models.mlserver]
            url = "http://127.0.0.1:9000"
            dialect = "kserve"
            health = "/v2/health/ready"
            names = ["*"]

            """
        ),
        (
            ["/v1/models": #"{"data": [{"id": "any", "owned_by": "me"}]}"#],
            """

            # a server with OpenAI's API at port 9000.
            [models.openai]
            url = "http://127.0.0.1:9000"
            dialect = "openai"
            names = ["any"]

            """
        ),
        (
            ["/openapi.json": #"{"info": {"title": "Ships"}, "paths": {"/predict": {"post": {}}, "/x": {"get": {}}}}"#],
            """

            # "Ships" at port 9000.
            [models.predict]
            url = "http://127.0.0.1:9000/predict"

            """
        ),
    ])
    func eachKindIsToldByItsOwnPaths(bodies: [String: String], toml: String) throws {
        let server = try #require(found(bodies))
        #expect(FoundServer.toml([server]) == toml)
        let folder = try SettingsFolder(["inferq.toml": toml])
        #expect(folder.problems().isEmpty)
        #expect(try folder.load().models.count == 1)
    }

    @Test(arguments: [
        [:],
        ["/": "hello"],
        // A gateway of ours, whose models are those of others.
        ["/readyz": #"{"status": "UP", "broker": "ring"}"#, "/v1/models": #"{"data": [{"id": "a"}]}"#],
        ["/v1/models": #"{"data": []}"#],
        ["/v1/models": "[]", "/v2": "null", "/props": "{", "/openapi.json": #"{"paths": []}"#],
        // No one but its author knows which path is the model's.
        ["/openapi.json": #"{"paths": {"/a": {"post": {}}, "/b": {"post": {}}}}"#],
        ["/openapi.json": #"{"paths": {"/a/{id}": {"post": {}}}}"#],
        ["/openapi.json": #"{"paths": {"/a\"\n[store]": {"post": {}}}}"#],
    ])
    func whatIsNoModelServerIsLeftOut(bodies: [String: String]) {
        #expect(found(bodies) == nil)
    }

    @Test func whatAServerSaysCannotBreakOutOfTheFile() throws {
        let server = try #require(
            found([
                "/": "Ollama is running",
                "/api/tags": #"{"models": [{"name": "a\"]\n[store]\npath=\"/x"}, {"name": "b\\c"}, {"name": ""}]}"#,
            ]))
        let toml = FoundServer.toml([server])
        let settings = try SettingsFolder(["inferq.toml": toml]).load()
        #expect(settings.store.path == "/var/lib/inferq/inferq.db")
        #expect(settings.models["ollama"]?.names == ["b\\c"])
    }

    @Test func aNameIsGivenToOneServerAndOnce() throws {
        let tags = #"{"models": [{"name": "a"}, {"name": "a"}, {"name": "\"\u0301,\""}, {"name": "ü"}]}"#
        let bodies = ["/": Array("Ollama is running".utf8), "/api/tags": Array(tags.utf8)]
        let servers = [9000, 9001].compactMap { FoundServer(PortAnswers(port: $0, bodies: bodies)) }
        let settings = try SettingsFolder(["inferq.toml": FoundServer.toml(servers)]).load()
        #expect(settings.models["ollama-9000"]?.names == ["a"])
        #expect(settings.models["ollama-9001"]?.names == [])
    }

    @Test func aSlotCountIsOneThatTheSettingTakes() throws {
        let info = #"{"model_id": "m", "max_concurrent_requests": -3}"#
        #expect(found(["/info": info])?.concurrency?.count == 1)
    }

    @Test func twoOfAKindAreToldApartByTheirPorts() throws {
        let bodies = ["/": Array("Ollama is running".utf8)]
        let servers = [9000, 9001].compactMap { FoundServer(PortAnswers(port: $0, bodies: bodies)) }
        let settings = try SettingsFolder(["inferq.toml": FoundServer.toml(servers)]).load()
        #expect(settings.models.keys.sorted() == ["ollama-9000", "ollama-9001"])
    }
}

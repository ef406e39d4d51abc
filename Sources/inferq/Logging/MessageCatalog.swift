/// The ids by which the journal knows a kind of trouble: what `journalctl -x` explains and `MESSAGE_ID=` finds.
///
/// `systemd/inferq.catalog` has an entry for each. An id is never given to another message, and a message that is
/// reworded keeps its id.
enum MessageCatalog {
    /// - Returns: nil for what needs no explanation.
    static func id(of message: String) -> String? {
        ids[message]
    }

    private static let ids = [
        "the gateway is degraded": "c54eb989980341c2860d964ff800b033",
        "the new configuration is refused, the old one stays": "86ffa89214fa4406a6e17c6182d3e6c6",
        "the reload failed, the old settings stay": "4ea1179a61b04991a38fbddbefaa5766",
        "the store cannot go on, ending the process": "b880d86a4322469b936ae34cb843cc4a",
        "a job could not be taken and stays pending": "91ed194d9d534a5db1390412ccf39acf",
        "an answer could not be stored": "709e1b6fe8e24e9fb6ba585b42493a96",
        "the input of a job cannot be read": "0197303f983841d186475efd4a9fd218",
        "a request met an unforeseen error": "b509259ecf604dd4b0b6bff0a15ac66d",
        "drain timeout passed, interrupting running attempts": "e6920527ff45413394a25585f501f7d5",
        "waiting jobs could not be looked at": "0515188782bc45c6a1b09c1c58bcc5c5",
        "attempt failed, the job ended in ERROR": "c1db1a68e48c4acaa27c64a39caaba4c",
        "the disk is full: the outcome of an attempt waits to be stored": "da3d00c326db459395e31750c8b59312",
        "ended jobs could not be removed": "70a2051dd6f943caae3faddffcdf4005",
        "the outcome of an attempt was lost": "ad18a8b3ad8c4ba5afdd8eb0c64b1e20",
        "some changed settings take effect at the next start only": "63a68b396a19479c8f7e0eb3672b3c1c",
        "redis cannot be used: jobs go through the internal ring until it can be": "5fc42dd07813462780a161a77d0a8d38",
        "redis cannot be used: jobs wait until it can be": "399f8d2bac28400c9159a29bed81f69a",
        "redis cannot be used: no job can be taken until it can be": "1c960b1b3ab84b2c9da6568e4b371087",
        "a worker is dead: its heartbeat has stopped": "cacdbc76e2b84bdab55ce46b1a249bb9",
    ]
}

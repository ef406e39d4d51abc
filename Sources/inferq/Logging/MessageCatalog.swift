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
        "the store cannot continue, ending the process": "b880d86a4322469b936ae34cb843cc4a",
        "a job could not be taken and stays pending": "91ed194d9d534a5db1390412ccf39acf",
        "an answer could not be stored": "709e1b6fe8e24e9fb6ba585b42493a96",
        "the input of a job cannot be read": "0197303f983841d186475efd4a9fd218",
        "a request hit an unexpected error": "b509259ecf604dd4b0b6bff0a15ac66d",
        "drain timeout passed, interrupting running attempts": "e6920527ff45413394a25585f501f7d5",
        "waiting jobs could not be checked": "0515188782bc45c6a1b09c1c58bcc5c5",
        "attempt failed, the job ended in ERROR": "c1db1a68e48c4acaa27c64a39caaba4c",
        "the disk is full: the outcome of an attempt waits to be stored": "da3d00c326db459395e31750c8b59312",
        "ended jobs could not be removed": "70a2051dd6f943caae3faddffcdf4005",
        "some changed settings take effect only at the next start": "63a68b396a19479c8f7e0eb3672b3c1c",
        "redis cannot be used: jobs go through the internal ring until it can be": "5fc42dd07813462780a161a77d0a8d38",
        "redis cannot be used: jobs wait until it can be": "399f8d2bac28400c9159a29bed81f69a",
        "redis cannot be used: no job can be taken until it can be": "1c960b1b3ab84b2c9da6568e4b371087",
        "a worker is dead: its heartbeat has stopped": "cacdbc76e2b84bdab55ce46b1a249bb9",
        "the start of an attempt could not be stored": "5b0c5f0e6f8d4a2f9d3c7be1a4c86e57",
        "the outcome of an attempt could not be stored": "fc1b7a4986124081a2b21aab0773d089",
        "a job could not be given to a worker and stays pending": "4ddb6ceab3a34da6a6add5b13630ad3a",
        "events could not be published": "9b3468f8c26e4c98ab8e538977a25890",
        "another gateway with a copy of this store uses the same redis: give one of them an empty store":
            "710758a6c81c414e8969348ac93590bb",
        "a gateway offers something that this version does not understand": "6d37d4207afa4a8b807503866a54d440",
        "a worker sent something that this version does not understand": "44cb2cda4f5047b7885d094e79e9944d",
        "a part of the store is damaged": "d6ecafbb2a4b4b73998cf3e40ec0e25f",
        "batches could not be read": "26768a495daf4ed98bde0e276b201757",
        "a batch cannot continue: a part of the store is damaged": "bb87119a3afc4448a26973265681aaa7",
        "jobs could not be offered through redis, trying again": "e784b9a3957a4273a3e264faec060a2f",
    ]
}

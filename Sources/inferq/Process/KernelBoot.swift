import InferqStore

/// The boot id of the kernel: differs after every start of the machine.
enum KernelBoot {
    static var id: String {
        let line = KernelFile.text("/proc/sys/kernel/random/boot_id")?.split(separator: "\n").first
        return line.map(String.init) ?? "unknown"
    }
}

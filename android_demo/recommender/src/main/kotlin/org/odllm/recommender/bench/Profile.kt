package org.odllm.recommender.bench

import java.io.File
import java.util.TreeMap
import org.odllm.recommender.Json
import org.odllm.recommender.JsonException
import org.odllm.recommender.JsonText

/** A node that ran: its name, its operator, and the runtime's name of the provider that ran it. */
internal class ProfiledNode(val name: String, val operator: String, val provider: String)

/** Which node ran where, from the runtime's own profiles: a provider's name in a list proves nothing. */
internal object Profile {
    /**
     * Returns the distinct nodes of the profiles, sorted by name.
     *
     * @param files of the graphs that a call runs. Graphs of form `steps` share names of nodes: those of the second
     *   begin with `step/`.
     * @throws Refusal a profile cannot be read, or none names a node.
     */
    fun read(files: List<File>): Collection<ProfiledNode> {
        val nodes = TreeMap<String, ProfiledNode>()
        for ((number, file) in files.withIndex()) read(file, if (number == 0) "" else "step/", nodes)
        if (nodes.isEmpty()) throw Refusal("the profile names no node: nothing is known to have run", Refusal.DEVICE)
        return nodes.values
    }

    private fun read(file: File, prefix: String, nodes: MutableMap<String, ProfiledNode>) = try {
        for (event in Json.read(file).list) {
            val facts = event.find("args")
            val provider = facts?.find("provider")?.text.orEmpty()
            if (event.find("cat") != JsonText("Node") || provider.isEmpty()) continue
            val node = ProfiledNode(prefix + event["name"].text, facts?.find("op_name")?.text.orEmpty(), provider)
            nodes["${node.name}\u0000${node.operator}\u0000$provider"] = node
        }
    } catch (error: JsonException) {
        throw Refusal("the runtime's profile $file cannot be read: ${error.message}", Refusal.DEVICE)
    }
}

/** Makes a folder of its own for [use] and removes it with what is in it. */
internal inline fun <Found> inScratchFolder(use: (File) -> Found): Found {
    val folder = File.createTempFile("odllm-profile-", "")
    if (!folder.delete() || !folder.mkdir()) throw Refusal("no folder can be made at $folder", Refusal.DEVICE)
    try {
        return use(folder)
    } finally {
        folder.deleteRecursively()
    }
}

package org.odllm.recommender

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** A manifest has no hash of its own: each of its fields is checked by itself or against the rest of the bundle. */
class ManifestTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private lateinit var bundle: File
    private lateinit var whole: JsonValue

    /** Fields that nothing else in the bundle says, too: another value of the same kind is as good. */
    private val free = setOf("name", "model", "expected_peak_memory_bytes", "provenance")

    /** What a bundle of this form may leave out. */
    private val optional =
        setOf(listOf("graph", "fixed"), listOf("files", "golden.json"), listOf("files", "MODEL_CARD.md"))

    private val others = listOf(JsonObject(emptyMap()), JsonList(listOf(JsonNull)), JsonDecimal(0.5), JsonInteger(-3))

    @Before
    fun copyBundle() {
        bundle = TestBundles.copy("loop", temporary.root)
        whole = Json.read(File(bundle, "manifest.json"))
    }

    @Test
    fun aFieldThatIsMissingOrOfAnotherKind() {
        for (path in paths(whole)) {
            if (path !in optional && path.first() != "provenance") {
                assertRefused(path) { Manifests.without(whole, *path.toTypedArray()) }
            }
            for (other in others) {
                if (path.last() in listOf("keep_ratio", "ranks", "provenance") && other !is JsonList) continue
                assertRefused(path) { Manifests.with(whole, other, *path.toTypedArray()) }
            }
        }
    }

    @Test
    fun anotherValueOfTheSameKind() {
        for (path in paths(whole).filter { it.first() !in free }) {
            var value = whole
            for (name in path) value = value[name]
            val other = when (value) {
                is JsonInteger -> JsonInteger(value.long + 1)
                is JsonText -> JsonText(value.text.reversed() + "0")
                is JsonBoolean -> JsonBoolean(!value.boolean)
                is JsonList -> JsonList(value.list + JsonInteger(1))
                else -> continue
            }
            assertRefused(path) { Manifests.with(whole, other, *path.toTypedArray()) }
        }
    }

    @Test
    fun aFieldThatNoManifestHas() {
        for (path in listOf("x", "graph x", "prompt x", "files items.jsonl x").map { it.split(' ') }) {
            assertRefused(path) { Manifests.with(whole, JsonInteger(1), *path.toTypedArray()) }
        }
    }

    @Test
    fun aFieldThatStandsThereTwice() {
        val file = File(bundle, "manifest.json")
        file.writeText(file.readText().replaceFirst("{", "{\"name\": \"other\", "))
        assertThrows(BundleDamagedException::class.java) { Recommender.open(bundle) }
    }

    @Test
    fun filesThatLieElsewhere() {
        val fact = whole["files"]["catalog.bin"]
        val names = listOf("../loop/catalog.bin", "/a", "a/b", "..", ".", "", "a\\b", "a\u0000b", "manifest.json")
        for (name in names) {
            assertRefused(listOf("files", name)) { Manifests.with(whole, fact, "files", name) }
        }
    }

    @Test
    fun sizesThatWouldTakeAllMemory() {
        val large = JsonInteger(Int.MAX_VALUE.toLong())
        for (path in listOf("prompt max_items", "search num_beams", "items")) {
            assertRefused(path.split(' ')) { Manifests.with(whole, large, *path.split(' ').toTypedArray()) }
        }
        assertRefused(listOf("kv_cache")) { Manifests.with(whole, JsonList(List(4) { large }), "graph", "kv_cache") }
    }

    @Test
    fun aNewerSchemaOrRuntime() {
        for ((value, path) in listOf(JsonInteger(3) to "schema_version", JsonText("99.0") to "graph onnxruntime")) {
            Manifests.edit(bundle) { Manifests.with(whole, value, *path.split(' ').toTypedArray()) }
            val error = assertThrows(BundleTooNewException::class.java) { Recommender.open(bundle) }
            assertTrue(error.message, "Update the app" in error.message!!)
        }
        assertRefused(listOf("schema_version")) { Manifests.with(whole, JsonInteger(1), "schema_version") }
    }

    private fun assertRefused(path: List<String>, change: () -> JsonValue) {
        Manifests.edit(bundle) { change() }
        val error = assertThrows(path.joinToString("."), BundleException::class.java) { Recommender.open(bundle) }
        assertEquals(bundle, error.bundle)
    }

    /** Returns the way to every member of every object. */
    private fun paths(json: JsonValue, before: List<String> = emptyList()): List<List<String>> =
        if (json !is JsonObject) emptyList()
        else json.members.flatMap { (name, value) -> listOf(before + name) + paths(value, before + name) }
}

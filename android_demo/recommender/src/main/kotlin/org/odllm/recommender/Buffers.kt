package org.odllm.recommender

import java.nio.Buffer

/** Sets position and limit. Of [Buffer]: Java 9 declared its methods anew in subclasses, and old Android has not. */
internal fun Buffer.window(start: Int, end: Int) {
    clear()
    limit(end)
    position(start)
}

/** Sets the position to 0 and the limit to the end. */
internal fun Buffer.wholeWindow() {
    clear()
}

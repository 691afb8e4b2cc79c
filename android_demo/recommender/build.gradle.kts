import org.jetbrains.kotlin.gradle.dsl.JvmTarget
import org.jetbrains.kotlin.gradle.dsl.KotlinVersion

plugins {
    `java-library`
    alias(libs.plugins.kotlin.jvm)
}

kotlin {
    explicitApi()
    compilerOptions {
        jvmTarget = JvmTarget.JVM_1_8
        languageVersion = KotlinVersion.KOTLIN_2_1
        apiVersion = KotlinVersion.KOTLIN_2_1
        freeCompilerArgs.add("-Xjdk-release=1.8")
    }
}

tasks.withType<JavaCompile>().configureEach {
    options.release = 8
}

dependencies {
    // The desktop jar and the Android archive have the same classes: which of them runs is the app's choice.
    compileOnly(libs.onnxruntime.desktop)
    testImplementation(libs.onnxruntime.desktop)
    testImplementation(libs.junit)
}

// Tests that open bundles skip without it: ./gradlew :recommender:test -Podllm.bundles=/path/to/bundles
tasks.test {
    providers.gradleProperty("odllm.bundles").orNull?.let { systemProperty("odllm.bundles", it) }
}

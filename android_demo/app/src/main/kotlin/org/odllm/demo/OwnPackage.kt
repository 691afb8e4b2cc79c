package org.odllm.demo

import android.content.Context
import android.content.pm.PackageInfo

/** Return what the system knows of this app: its version, and when it was installed. */
@Suppress("DEPRECATION") // what replaces it in API 33 is not there before
fun ownPackage(context: Context): PackageInfo = context.packageManager.getPackageInfo(context.packageName, 0)

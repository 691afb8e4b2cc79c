// Tensors for the runtime, of memory that the caller keeps; and what comes back, copied out.
#pragma once

#include <cstdint>
#include <vector>

#include "refusal.h"
#include "runtime.h"

namespace odllm {

template <typename Element>
struct ElementType;
template <>
struct ElementType<std::int64_t> {
    static constexpr auto value = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
};
template <>
struct ElementType<std::int32_t> {
    static constexpr auto value = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
};
template <>
struct ElementType<float> {
    static constexpr auto value = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
};
template <>
struct ElementType<bool> {
    static constexpr auto value = ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
};

// A tensor of memory that the caller keeps; nothing is copied, and the runtime does not write to its inputs.
template <typename Element>
Value tensor(const Runtime& runtime, const Element* data, std::size_t count, const std::vector<std::int64_t>& shape) {
    OrtValue* value = nullptr;
    runtime.check(runtime.api().CreateTensorWithDataAsOrtValue(
                      runtime.memory(), const_cast<Element*>(data), count * sizeof(Element), shape.data(), shape.size(),
                      ElementType<Element>::value, &value),
                  "make an input");
    return {value, ReleaseValue{&runtime.api()}};
}

// A list as a tensor of one axis.
template <typename Element>
Value list(const Runtime& runtime, const std::vector<Element>& numbers) {
    static const Element nothing{};  // an empty tensor needs an address, too
    const Element* data = numbers.empty() ? &nothing : numbers.data();
    return tensor(runtime, data, numbers.size(), {static_cast<std::int64_t>(numbers.size())});
}

// A tensor's elements. Throws Refusal: they are of another type.
template <typename Element>
std::vector<Element> elements(const Runtime& runtime, const OrtValue* value) {
    const OrtApi& api = runtime.api();
    OrtTensorTypeAndShapeInfo* info = nullptr;
    runtime.check(api.GetTensorTypeAndShape(value, &info), "describe an output");
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    std::size_t count = 0;
    OrtStatus* status = api.GetTensorElementType(info, &type);
    if (status == nullptr) status = api.GetTensorShapeElementCount(info, &count);
    api.ReleaseTensorTypeAndShapeInfo(info);
    runtime.check(status, "describe an output");
    if (type != ElementType<Element>::value) throw bad_input("the graph's outputs have other types than a bundle's");
    void* data = nullptr;
    runtime.check(api.GetTensorMutableData(const_cast<OrtValue*>(value), &data), "read an output");
    const auto* first = static_cast<const Element*>(data);
    return {first, first + count};
}

}  // namespace odllm

// A network in the browser: the forward pass of every built-in layer, and the backward pass of most, in float32.
//
//   const network = await Network.load(description);      // what `network_data(model, input_shape)` returns in Python
//
//   network.layers        modules in the order in which they compute, containers after what is in them; where the
//                         network itself is a row of layers it is left out:
//                           {path, kind, formula, inputShape, outputShape, parameterCount, weights, arguments, children?}
//                         shapes are those of one sample, of the input shape that the description was made for;
//                         weights[name] is {data: Float32Array, shape}; children are objects of this list, too
//   network.top           those of them that are not inside another one: the layers of a Sequential
//   network.inputShape    that of the description
//   network.hasBackward   whether every layer has a backward pass here
//
//   const result = network.forward(x, shape);             // x: Float32Array, shape: of one sample, without the batch
//     result.output       Float32Array; result.outputShape
//     result.steps        [{path, input, inputShape, output, outputShape}], one for each of `layers`, in their order
//     result.step(path)   the step of one layer
//
//   const back = network.backward(result, gradOutput);    // gradOutput: Float32Array like result.output
//     back.gradInput      Float32Array like x
//     back.steps          [{path, gradOutput, gradInput, gradWeight?}], from the last layer to the first
//     back.step(path)     the step of one layer
//       gradWeight        {weight, bias} and so on, by the names of `weights`: Float32Arrays of the weights' layout, but
//                         of Dense the weight's is {dz, a, rows}: it is the sum over the rows i of the outer products of
//                         row i of dz (rows x out_features) and of row i of a (rows x in_features)
//
// A network of several inputs takes arrays of Float32Arrays and of shapes, and returns such arrays as gradInput.
// Evaluation mode: Dropout passes its input on, BatchNorm uses the running statistics. What does not fit is an Error
// that names the layer. Nothing that is returned is written to by a later call. One sample at a time.
